"""A W&B project's summaries become rows of their own tables; wandb's own classes read the payloads, in the form of its GraphQL answers."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from lightning_gen.cli.leaderboard import run
from lightning_gen.errors import UserError
from lightning_gen.leaderboard.record import write
from lightning_gen.leaderboard.table import leaderboard
from lightning_gen.leaderboard.wandb_source import load_wandb

PAYLOADS = json.loads(Path(__file__).with_name("wandb_runs.json").read_text())
PROJECT = "lab/lightning-gen"


class Service:
    """W&B's server, which nothing may ask beyond the payloads."""

    app_url = "https://wandb.ai/"

    def __getattr__(self, name):
        raise AssertionError(f"the server was asked for {name}")


class Api:
    """``wandb.Api`` over the payloads."""

    def runs(self, path, lazy):
        from wandb.apis.public import Run

        assert (path, lazy) == (PROJECT, False), "one query for all, not one for each run"
        entity, project = path.split("/")
        return [Run(Service(), entity, project, payload["name"], dict(payload), lazy=False) for payload in PAYLOADS]


@pytest.fixture(autouse=True)
def server(monkeypatch):
    monkeypatch.setattr("wandb.Api", Api)


def test_final_scores_of_every_checkpoint_become_records():
    records, _ = load_wandb(PROJECT)
    told = {(record.wandb_id, record.checkpoint.kind): {score.name: score.value for score in record.scores} for record in records}
    assert told["abc123", "best"] == {"FD(digits-cnn)": 19.11, "CS(digits-cnn)": 7.9, "bits/dim": 1.897}
    assert told["abc123", "last"] == {"FD(digits-cnn)": 20.52, "bits/dim": 1.896}
    assert set(told) == {("abc123", "best"), ("abc123", "last"), ("abc123", "untrained"), ("def456", "last")}


def test_what_the_configuration_tells_of_model_and_question_is_kept():
    best = next(record for record in load_wandb(PROJECT)[0] if record.checkpoint.kind == "best")
    assert (best.model.name, best.model.family, best.config_name, best.training_seed) == ("VAE", "autoencoder", "vae_digits", 3)
    assert (best.run_name, best.cost.images_seen) == ("20261127-120239-7d4047", 100_032)
    assert best.wandb_url.endswith("lab/lightning-gen/runs/abc123")
    distance, likelihood = best.scores[1], best.scores[2]
    assert distance.protocol["dataset"] == "digits"
    assert distance.protocol["num_samples"] == 2000
    assert "batch_size" not in distance.protocol["data"]
    assert (likelihood.kind, best.answer.likelihood_samples, best.answer.weights) == ("k-sample bound", 64, "live")
    assert {score.name: score.better for score in best.scores} == {
        "FD(digits-cnn)": "lower",
        "CS(digits-cnn)": "higher",
        "bits/dim": "lower",
    }


def test_runs_of_one_question_are_ranked_together_and_never_with_result_files(make):
    records, _ = load_wandb(PROJECT)
    tables = leaderboard([*records, make("file", fd=1.0)])
    ranked = [{row.record.run_name: rank for rank, row in table.rows if row.main_kind != "untrained"} for table in tables]
    assert {"20261127-120239-7d4047": 1, "<script>alert(1)</script>": None} in ranked, "NaN has no rank"
    assert {"file": 1} in ranked


def test_what_has_no_scores_or_is_foreign_is_named():
    _, skipped = load_wandb(PROJECT)
    reasons = dict(skipped)
    assert reasons["lab/lightning-gen/ghi789"] == "no final scores in its summary (state running)"
    assert reasons["lab/lightning-gen/jkl012"].startswith("not a run of lightning-gen (")
    assert len(reasons) == 2


def test_a_number_that_no_integer_holds_is_named(monkeypatch):
    payload = PAYLOADS[0] | {
        "config": PAYLOADS[0]["config"].replace('"seed_everything": {"value": 3}', '"seed_everything": {"value": 1e999}')
    }
    monkeypatch.setitem(globals(), "PAYLOADS", [payload])
    records, ((run, reason),) = load_wandb(PROJECT)
    assert (records, run) == ([], "lab/lightning-gen/abc123")
    assert "OverflowError" in reason


def test_a_run_whose_result_files_are_there_is_not_shown_twice(example, tmp_path, capsys):
    write(replace(example, wandb_id="abc123"), tmp_path)
    assert run(["--results", str(tmp_path), "--wandb", PROJECT, "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert sorted(row["run_name"] for table in data["tables"] for row in table["rows"]) == ["<script>alert(1)</script>", "vae-digits-1"]
    assert {entry["path"] for entry in data["skipped"]} == {"lab/lightning-gen/ghi789", "lab/lightning-gen/jkl012"}


def test_a_project_alone_needs_no_folder(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run(["--wandb", PROJECT]) == 0
    out, err = capsys.readouterr()
    assert "19.11" in out
    assert "skipped lab/lightning-gen/ghi789: no final scores" in err


@pytest.mark.parametrize("project", ["lightning-gen", "a/b/c", "a/", "a b/c"])
def test_what_is_no_project_is_refused(project):
    with pytest.raises(UserError, match="--wandb: expected entity/project, got "):
        load_wandb(project)


def test_a_server_that_does_not_answer_is_one_line(monkeypatch):
    def fail():
        raise ConnectionError("no route\nto host")

    monkeypatch.setattr("wandb.Api", fail)
    with pytest.raises(UserError) as caught:
        load_wandb(PROJECT)
    assert str(caught.value) == "--wandb lab/lightning-gen: cannot be read (no route)"


def test_watching_a_project_is_refused():
    with pytest.raises(UserError, match="--watch: looks at folders only"):
        run(["--wandb", PROJECT, "--watch"])
