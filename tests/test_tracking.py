"""The trackers: every row has its place on the images axis, nothing that was written is lost, and W&B never stands in the way."""

from __future__ import annotations

import csv
import json
import os
import pathlib
import signal
import struct
import subprocess
import sys

import pytest
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader, TensorDataset

from lightning_gen.errors import UserError
from lightning_gen.models.base import GenerativeModel
from lightning_gen.tracking import IMAGES, CSVTracker, WandbTracker, build_trackers, wandb_mode


class Scale(GenerativeModel):
    """Scales its input towards 1; logs a term each step."""

    def __init__(self, data_shape: list[int]) -> None:
        super().__init__(data_shape)
        self.scale = torch.nn.Parameter(torch.zeros(2))

    def training_step(self, batch, batch_idx):
        loss = ((batch[0] * self.scale - 1) ** 2).mean()
        self.log_terms({"loss": loss})
        return loss

    def validation_terms(self, batch, noise):
        return {"distance": (self.scale - 1).abs().mean()}

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def rows(folder: pathlib.Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def tracker_at(images_seen: int, folder: pathlib.Path) -> CSVTracker:
    """A CSV tracker of a new session whose model has seen ``images_seen`` images."""
    tracker = CSVTracker(folder)
    model = Scale([2])
    model.images_seen = images_seen
    tracker.log_graph(model)
    return tracker


def fit(folder: pathlib.Path, loggers: list, batches: int = 4) -> Scale:
    """Train on ``batches`` batches of 8, then validate."""
    torch.manual_seed(0)
    data = TensorDataset(torch.rand(8 * batches, 2), torch.zeros(8 * batches, dtype=torch.int64))
    trainer = pl.Trainer(
        default_root_dir=folder, logger=loggers, max_epochs=1, accelerator="cpu", log_every_n_steps=1, num_sanity_val_steps=0,
        enable_progress_bar=False, enable_model_summary=False, enable_checkpointing=False,
    )  # fmt: skip
    model = Scale([2])
    trainer.fit(model, DataLoader(data, batch_size=8), DataLoader(data, batch_size=8))
    return model


# metrics.csv


def test_every_csv_row_of_a_training_carries_images_seen(tmp_path):
    fit(tmp_path, [CSVTracker(tmp_path)])
    train = [row for row in rows(tmp_path) if row["train/loss"]]
    assert [int(row[IMAGES]) for row in train] == [8, 16, 24, 32]
    assert [int(row[IMAGES]) for row in rows(tmp_path) if row["val/distance"]] == [32]


def test_resume_keeps_the_rows_and_may_add_columns(tmp_path):
    first = tracker_at(8, tmp_path)
    first.log_metrics({"train/loss": 0.1 + 0.2}, step=0)
    second = tracker_at(2**24 + 1, tmp_path)  # which float32 cannot hold
    second.log_metrics({"train/loss": 1.0}, step=1)
    second.log_metrics({"eval/fid": torch.tensor(3.0)}, step=1)
    assert rows(tmp_path) == [
        {IMAGES: "8", "step": "0", "train/loss": repr(0.1 + 0.2), "eval/fid": ""},
        {IMAGES: "16777217", "step": "1", "train/loss": "1.0", "eval/fid": ""},
        {IMAGES: "16777217", "step": "1", "train/loss": "", "eval/fid": "3.0"},
    ]
    assert os.listdir(tmp_path) == ["metrics.csv"]


def test_a_row_cut_off_by_a_crash_is_dropped_and_the_others_stay(tmp_path):
    tracker_at(8, tmp_path).log_metrics({"train/loss": 1.0})
    with (tmp_path / "metrics.csv").open("a") as file:
        file.write("16,0.12")  # of 0.125
    tracker_at(24, tmp_path).log_metrics({"train/loss": 2.0})
    assert [(row[IMAGES], row["train/loss"]) for row in rows(tmp_path)] == [("8", "1.0"), ("24", "2.0")]


def test_a_row_is_on_disk_before_the_next_line_of_code(tmp_path):
    code = (
        "import os, signal; from lightning_gen.tracking import CSVTracker\n"
        f"CSVTracker({str(tmp_path)!r}).log_metrics({{'progress/images': 8, 'a': 1.5}})\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    killed = subprocess.run([sys.executable, "-c", code], check=False, cwd=pathlib.Path(__file__).parent.parent)
    assert killed.returncode == -signal.SIGKILL
    assert rows(tmp_path) == [{IMAGES: "8", "a": "1.5"}]


def test_a_row_that_nobody_can_place_is_refused(tmp_path):
    with pytest.raises(ValueError, match=IMAGES):
        CSVTracker(tmp_path).log_metrics({"a": 1.0})
    CSVTracker(tmp_path).log_metrics({"a": 1.0, IMAGES: 5})
    assert rows(tmp_path) == [{IMAGES: "5", "a": "1.0"}]


# Whether and how W&B runs


@pytest.fixture
def environment(monkeypatch):
    """No W&B settings from outside, and nobody logged in."""
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setattr("wandb.login", lambda **kwargs: False)
    return monkeypatch


@pytest.mark.parametrize(
    ("setting", "variable", "logged_in", "expected"),
    [
        ("auto", None, True, "online"),
        ("auto", None, False, "offline"),
        ("auto", "online", False, "offline"),
        ("auto", "offline", True, "offline"),
        ("auto", "dryrun", True, "offline"),
        ("auto", "disabled", True, None),
        ("on", "disabled", True, None),
        ("on", None, False, "offline"),
        ("off", "online", True, None),
    ],
)
def test_mode_follows_setting_environment_and_login(environment, setting, variable, logged_in, expected):
    questions = []
    environment.setattr("wandb.login", lambda **kwargs: questions.append(kwargs) or logged_in)
    if variable:
        environment.setenv("WANDB_MODE", variable)
    assert wandb_mode(setting) == expected
    assert all(question == {"prompt": False, "verify": False} for question in questions)


def test_bad_settings_are_named(environment):
    with pytest.raises(UserError, match="wandb: expected auto, on or off, got 'yes'"):
        wandb_mode("yes")
    environment.setenv("WANDB_MODE", "ofline")
    with pytest.raises(UserError, match="WANDB_MODE: expected online, offline or disabled, got 'ofline'"):
        wandb_mode("auto")


@pytest.mark.parametrize(("setting", "lines"), [("on", 1), ("auto", 0), ("off", 0)])
def test_missing_wandb_is_left_out_and_explained_only_to_who_asked(environment, tmp_path, caplog, setting, lines):
    environment.setitem(sys.modules, "wandb.sdk", None)
    with caplog.at_level("INFO"):
        trackers = build_trackers(tmp_path, {}, wandb=setting)
    assert [type(tracker) for tracker in trackers] == [CSVTracker]
    assert [record.getMessage().startswith("W&B: left out") for record in caplog.records] == [True] * lines


def test_only_rank_0_asks_for_a_login_but_all_ranks_have_the_same_loggers(environment, tmp_path):
    environment.setattr("wandb.login", lambda **kwargs: pytest.fail("asked"))
    environment.setattr("pytorch_lightning.utilities.rank_zero_only.rank", 1)
    assert [type(tracker) for tracker in build_trackers(tmp_path, {})] == [CSVTracker, WandbTracker]


def test_a_login_that_fails_means_offline(environment):
    environment.setattr("wandb.login", lambda **kwargs: (_ for _ in ()).throw(ValueError("API key must be 40 characters")))
    assert wandb_mode("auto") == "offline"


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
    tracker.close()
    assert tried == ["online", "offline", "disabled"]
    assert not (tmp_path / "wandb_run_id").exists()


# What an offline run records


def read_records(path: pathlib.Path) -> list:
    """The records of a ``.wandb`` file: a 7-byte header, then LevelDB's log framing in blocks of 32 KiB."""
    from wandb.proto.wandb_internal_pb2 import Record

    content, position, parts, records = path.read_bytes(), 7, b"", []
    while position + 7 <= len(content):
        left = 32768 - position % 32768
        if left < 7:
            position += left
            continue
        _, length, kind = struct.unpack("<IHB", content[position : position + 7])
        parts += content[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):  # whole, or the last part
            records.append(Record.FromString(parts))
            parts = b""
    return records


def item_key(item) -> str:
    return item.key or "/".join(item.nested_key)


@pytest.fixture(scope="module")
def offline(tmp_path_factory):
    """The folder of a run that was tracked offline in two sessions, with the records of both."""
    folder = tmp_path_factory.mktemp("run")
    config = {"model": {"class_path": "Scale", "init_args": {"widths": [1, 2]}}}
    with pytest.MonkeyPatch.context() as environment:
        for name in [name for name in os.environ if name.startswith("WANDB_")]:
            environment.delenv(name)
        environment.setenv("WANDB_MODE", "offline")
        environment.setenv("WANDB_SILENT", "true")
        for _ in range(2):
            trackers = build_trackers(folder, config, scores={"FD(net)": "lower", "IS": "higher"})
            model = fit(folder, trackers)
            trackers[1].log_media("pictures/samples", torch.full((3, 5, 7), 9, dtype=torch.uint8), model.images_seen + 8)
            for value in (3.0, 2.0, 4.0):
                trackers[1].log_metrics({"eval/FD(net)": value, "eval/IS": value})
            trackers[1].close()
    files = sorted(folder.glob("wandb/offline-run-*/*.wandb"), key=os.path.getmtime)
    return folder, [read_records(file) for file in files]


def history(records) -> list[dict]:
    items = [record.history.item for record in records if record.WhichOneof("record_type") == "history"]
    return [{item_key(item): json.loads(item.value_json) for item in row} for row in items]


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
