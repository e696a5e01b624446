"""What a finished run leaves in Weights & Biases, read back from the file of an offline one."""

import json
import os
from types import SimpleNamespace

import pytest
import torch
from cli_runs import QUIET, SMOKE, records, train
from wandb_file import artifacts, contents, history, sessions, table

from lightning_gen.checkpoint import load_model
from lightning_gen.cli.wandb_results import log_models
from lightning_gen.tracking import WandbTracker


@pytest.fixture(scope="module")
def tracked(tmp_path_factory):
    """A DCGAN with averaged weights, trained and scored with everything that W&B can be given."""
    pytest.importorskip("wandb.sdk")
    with pytest.MonkeyPatch.context() as environment:
        for name in [name for name in os.environ if name.startswith("WANDB_")]:
            environment.delenv(name)
        environment.setenv("WANDB_MODE", "offline")
        environment.setenv("WANDB_DATA_DIR", str(tmp_path_factory.mktemp("data")))
        options = ("--config", "dcgan_digits", *SMOKE, *QUIET, "--wandb=on", "--wandb_artifacts=on", "--ema.half_life_images=100")
        folder = train(tmp_path_factory.mktemp("tracked"), *options)
    return folder, sessions(folder)[0]


def test_the_leaderboard_table_has_every_score_of_every_record(tracked):
    rows = table(tracked[0], "leaderboard")
    scores = [(record, score) for record in records(tracked[0]) for score in record["scores"]]
    assert rows
    names = ("name", "value", "uncertainty", "kind", "split", "checkpoint", "images seen", "run")
    expected = [
        (
            *(score[name] for name in ("name", "value", "uncertainty", "kind")),
            score["protocol"]["split"], record["checkpoint"]["kind"], record["cost"]["images_seen"], record["run_name"],
        )
        for record, score in scores
    ]  # fmt: skip
    assert sorted(map(str, expected)) == sorted(str(tuple(row[name] for name in names)) for row in rows)
    assert {row["family"] for row in rows} == {scores[0][0]["model"]["family"]}
    assert all(len(row["protocol"]) == 12 for row in rows)
    assert any("leaderboard" in str(row) for row in history(tracked[1]))


def test_the_run_is_found_by_its_configuration_family_class_and_data(tracked):
    (run,) = [record.run for record in tracked[1] if record.HasField("run")]
    assert run.run_group == "dcgan_digits"
    assert [*run.tags] == [records(tracked[0])[0]["model"]["family"], "DCGAN", "digits"]


def test_an_artifact_holds_the_averaged_weights_and_loads_as_the_model(tracked):
    folder, written = tracked
    (artifact,) = artifacts(written)
    assert "last" in artifact.aliases
    files = contents(artifact)
    assert files.keys() == {"weights.safetensors", "model.json", "config.yaml"}
    assert files["config.yaml"].read_text() == (folder / "config.yaml").read_text()
    original = load_model(folder / "checkpoints" / "last.ckpt")
    with original.inference("ema"):
        expected = original.sample(4, seed=0)
    assert torch.equal(load_model(files["weights.safetensors"]).sample(4, seed=0), expected)
    described = json.loads(artifact.metadata)
    assert described["scores"].keys() == {score["name"] for score in records(folder)[0]["scores"]}


@pytest.mark.parametrize(
    ("setting", "mode", "recorded"),
    [("auto", "online", True), ("auto", "offline", False), ("on", "offline", True), ("off", "online", False)],
)
def test_models_are_recorded_online_or_when_asked_for(vae_run, monkeypatch, setting, mode, recorded):
    logged = []
    monkeypatch.setattr(WandbTracker, "log_model", lambda self, name, write, aliases, description: logged.extend(aliases))
    tracker = WandbTracker(vae_run, {}, {}, "offline")
    tracker.mode = mode
    log_models([tracker], vae_run, [], setting)
    kinds = {path.stem for path in (vae_run / "checkpoints").iterdir()} & {"best", "last"}
    assert sorted(logged) == (sorted(kinds) if recorded else [])


def test_models_that_were_asked_for_without_a_run_are_missed_in_one_line(vae_run, caplog):
    log_models([SimpleNamespace()], vae_run, [], "on")
    assert [record.getMessage() for record in caplog.records] == [
        "W&B: no models recorded (wandb_artifacts is on, but there is no W&B run)"
    ]
    log_models([], vae_run, [], "auto")
    assert len(caplog.records) == 1


def test_models_are_refused_where_no_run_is_wanted(refused, tmp_path):
    argv = ["fit", "--config", "vae_digits", "--runs", tmp_path, "--wandb", "off", "--wandb_artifacts", "on"]
    refused(argv, "wandb_artifacts: expected auto or off with wandb: off, got 'on'")
    assert not [*tmp_path.iterdir()]
