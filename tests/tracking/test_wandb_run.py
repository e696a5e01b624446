"""W&B runs never stand in the way, and what an offline one records is read back from its file."""

from __future__ import annotations

import json
import math
import os
import types

import pytest
import torch
from tracking_runs import fit
from wandb_file import artifacts, contents, history, item_key, sessions, table

from lightning_gen.tracking import IMAGES, CSVTracker, WandbTracker, build_trackers


def test_a_server_that_does_not_answer_means_an_offline_run_and_no_service_means_none(environment, tmp_path):
    tried = []

    def init(mode, **kwargs):
        tried.append(mode)
        assert "anonymous" not in kwargs  # wandb warns of it, and is about to refuse it
        if mode != "disabled":
            raise RuntimeError("no host\nmore")
        return real_init(mode=mode, **kwargs)

    import wandb

    real_init = wandb.init
    environment.setattr("wandb.init", init)
    tracker = WandbTracker(tmp_path, {}, {}, "online")
    tracker.log_metrics({IMAGES: 1})
    tracker.log_media("picture", torch.zeros(3, 4, 4, dtype=torch.uint8), 1)
    tracker.log_model("best", lambda folder: pytest.fail("written for nothing"), ["best"], {})
    tracker.close()
    assert tried == ["online", "offline", "disabled"]
    assert tracker.mode == "disabled"
    assert not (tmp_path / "wandb_run_id").exists()


def test_without_any_run_everything_else_goes_on(environment, tmp_path, caplog):
    def refuse(**kwargs):
        raise RuntimeError("no service")

    environment.setattr("wandb.init", refuse)
    tracker = WandbTracker(tmp_path, {}, {"IS": "higher"}, "offline")
    for step in range(3):
        tracker.log_metrics({IMAGES: step})
    tracker.close()
    assert [record.getMessage() for record in caplog.records] == [
        "W&B: no offline run (no service); disabled instead",
        "W&B: no disabled run (no service); nothing instead",
    ]


class Broken:
    """A run whose service has died."""

    id = "broken"

    def __getattr__(self, name):
        def fail(*args, **kwargs):
            raise ConnectionError(f"{name}: no service\nmore")

        return fail


def test_a_run_that_breaks_is_one_line_for_each_kind_of_loss(environment, tmp_path, caplog):
    tracker = WandbTracker(tmp_path, {}, {}, "offline")
    tracker._experiment = Broken()
    for _ in range(2):
        tracker.log_metrics({IMAGES: 1})
        tracker.log_media("picture", torch.zeros(3, 4, 4, dtype=torch.uint8), 1)
        tracker.log_rows("numbers", ["a"], [[1.0]], 1)
        tracker.log_model("best", write_weights, ["best"], {})
    tracker.close()
    assert [record.getMessage() for record in caplog.records] == [
        "W&B: a row is recorded in metrics.csv only (log: no service)",
        "W&B: a picture is not recorded (log: no service)",
        "W&B: a table is not recorded (log: no service)",
        "W&B: a model is not recorded (log_artifact: no service)",
        "W&B: the run may be incomplete (finish: no service)",
    ]


def test_a_run_folder_that_names_no_readable_run_is_tracked_in_the_file_only(environment, tmp_path, caplog):
    (tmp_path / "wandb_run_id").mkdir()
    trackers = build_trackers(tmp_path, {})
    assert [type(tracker) for tracker in trackers] == [CSVTracker]
    assert "W&B: left out" in caplog.text


def test_an_online_run_leaves_its_address_and_no_second_copy_of_its_models(environment, tmp_path):
    sent = []

    def log_artifact(artifact, aliases):
        sent.append((artifact.name, artifact.type, artifact.metadata, aliases, [*artifact.manifest.entries]))

    quiet = {name: lambda *args, **kwargs: None for name in ("define_metric", "log")}
    finish = lambda exit_code: sent.append((tmp_path / "wandb" / "models" / "best-1" / "weights").read_text())  # noqa: E731
    run = types.SimpleNamespace(id="abc", url="https://wandb.ai/me/p/runs/abc", log_artifact=log_artifact, finish=finish, **quiet)
    environment.setattr("wandb.init", lambda **kwargs: run)
    tracker = WandbTracker(tmp_path, {}, {}, "online")
    tracker.log_model("best-1", write_weights, ["best"], {"images_seen": 8})
    tracker.close()
    assert sent == [("model-abc", "model", {"images_seen": 8}, ["best"], ["weights"]), "12"]
    assert (tmp_path / "wandb_url").read_text() == run.url
    assert not (tmp_path / "wandb" / "models").exists()


def test_group_and_tags_of_the_environment_come_first(environment, tmp_path):
    environment.setenv("WANDB_RUN_GROUP", "sweep")
    environment.setenv("WANDB_TAGS", "mine,best")
    tracker = WandbTracker(tmp_path, {}, {}, "offline", tags=("toys",))
    tracker.log_metrics({IMAGES: 1})
    tracker.close()
    (run,) = [record.run for record in sessions(tmp_path)[0] if record.HasField("run")]
    assert (run.run_group, [*run.tags]) == ("sweep", ["mine", "best"])


def test_a_run_that_nobody_closed_takes_no_rows_of_the_next_one(environment, tmp_path):
    first, second = (WandbTracker(tmp_path / name, {}, {}, "offline") for name in ("first", "second"))
    first.log_metrics({IMAGES: 1})
    second.log_metrics({IMAGES: 2})
    second.close(exit_code=3)
    (one,), (two,) = sessions(tmp_path / "first"), sessions(tmp_path / "second")
    assert [[row[IMAGES] for row in history(records)] for records in (one, two)] == [[1], [2]]
    assert [records[-1].exit.exit_code for records in (one, two)] == [0, 3]


def test_a_run_that_somebody_else_started_is_joined(environment, tmp_path):
    import wandb

    run = wandb.init(mode="offline", dir=str(tmp_path), settings=wandb.Settings(silent=True))
    tracker = WandbTracker(tmp_path / "run", {}, {}, "offline")
    tracker.log_metrics({IMAGES: 1})
    assert tracker.experiment is run
    tracker.close()


# What an offline run records


def write_weights(folder):
    folder.mkdir(parents=True)
    (folder / "weights").write_text("12")


@pytest.fixture(scope="module")
def offline(tmp_path_factory):
    """The folder of a run that was tracked offline in two sessions, with the records of both."""
    folder = tmp_path_factory.mktemp("runs") / "scale_tiny" / "first"
    config = {"model": {"class_path": "Scale", "init_args": {"widths": [1, 2]}}}
    with pytest.MonkeyPatch.context() as environment:
        for name in [name for name in os.environ if name.startswith("WANDB_")]:
            environment.delenv(name)
        environment.setenv("WANDB_MODE", "offline")
        environment.setenv("WANDB_SILENT", "true")
        environment.setenv("WANDB_DATA_DIR", str(tmp_path_factory.mktemp("data")))  # where W&B keeps tables for their artifacts
        for _ in range(2):
            trackers = build_trackers(folder, config, scores={"FD(net)": "lower", "IS": "higher"}, tags=("toys", "Scale", "t" * 80))
            model = fit(folder, trackers)
            trackers[1].log_media("pictures/samples", torch.full((3, 5, 7), 9, dtype=torch.uint8), model.images_seen + 8)
            for value in (3.0, 2.0, 4.0):
                trackers[1].log_metrics({"eval/FD(net)": value, "eval/IS": value})
            trackers[1].log_rows("numbers", ["name", "value", "kind"], [["a", 0.5, None], ["b", math.inf, "exact"]], model.images_seen)
            trackers[1].log_model("best-1", write_weights, ["best", "last"], {"images_seen": model.images_seen})
            trackers[1].close()
    return folder, sessions(folder)


def test_every_history_row_is_on_the_images_axis(offline):
    written = history(offline[1][0])
    assert all(IMAGES in row for row in written)
    assert [row[IMAGES] for row in written if "train/loss" in row] == [8, 16, 24, 32]
    assert [row[IMAGES] for row in written if "val/distance" in row] == [32]
    assert [row[IMAGES] for row in written if "eval/IS" in row] == [32] * 3
    assert not any("trainer/global_step" in row for row in written)


def test_images_are_the_axis_and_summaries_keep_the_best(offline):
    metrics = {record.metric.name or record.metric.glob_name: record.metric for record in offline[1][0] if record.HasField("metric")}
    assert metrics["*"].step_metric == IMAGES or metrics["*"].step_metric_index
    assert metrics["eval/FD(net)"].summary.min
    assert not metrics["eval/FD(net)"].summary.max
    assert metrics["eval/IS"].summary.max
    assert "trainer/global_step" not in metrics


def test_the_whole_configuration_is_recorded(offline):
    recorded = {}
    for record in offline[1][0]:
        for source in (record.run.config, record.config):
            recorded |= {item_key(item): json.loads(item.value_json) for item in source.update}
    assert recorded["model"] == {"class_path": "Scale", "init_args": {"widths": [1, 2]}}


def test_a_picture_is_kept_to_the_pixel_at_its_images_seen(offline):
    from PIL import Image

    folder, sessions = offline
    row = next(row for row in history(sessions[0]) if any(key.startswith("pictures/samples") for key in row))
    assert row[IMAGES] == 40
    files = list(folder.glob("wandb/offline-run-*/files/media/images/pictures/samples_*.png"))
    assert len(files) == 2
    picture = Image.open(files[0])
    assert picture.size == (7, 5)
    assert picture.getcolors() == [(35, (9, 9, 9))]


def test_a_resumed_run_keeps_its_id(offline):
    folder, sessions = offline
    ids = [record.run.run_id for records in sessions for record in records if record.HasField("run")]
    assert len(sessions) == 2
    assert set(ids) == {(folder / "wandb_run_id").read_text()}


def test_a_new_run_gets_its_group_and_tags_and_a_continued_one_keeps_them(offline):
    """What somebody changed on the page is not overwritten by a session that goes on."""
    runs = [record.run for records in offline[1] for record in records if record.HasField("run")]
    assert [(run.run_group, [*run.tags]) for run in runs] == [("scale_tiny", ["toys", "Scale", "t" * 64]), ("", [])]
    assert [run.display_name for run in runs] == ["first", ""]


def test_a_table_is_kept_with_its_numbers_at_its_images_seen(offline):
    folder, records = offline
    assert next(row for row in history(records[0]) if "numbers" in str(row))[IMAGES] == 32
    assert table(folder, "numbers") == [{"name": "a", "value": 0.5, "kind": None}, {"name": "b", "value": math.inf, "kind": "exact"}]


def test_a_model_is_a_version_of_one_artifact_with_its_files_in_the_run_folder(offline):
    folder, records = offline
    identity = (folder / "wandb_run_id").read_text()
    for session in records:
        (artifact,) = artifacts(session)
        assert artifact.name == f"model-{identity}"
        assert {*artifact.aliases} == {"best", "last", "latest"}
        assert json.loads(artifact.metadata) == {"images_seen": 32}
        assert contents(artifact) == {"weights": folder / "wandb" / "models" / "best-1" / "weights"}
        assert contents(artifact)["weights"].read_text() == "12"
