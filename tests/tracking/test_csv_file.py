"""metrics.csv: every row has its place on the images axis, and nothing that was written is lost."""

from __future__ import annotations

import csv
import os
import pathlib
import signal
import subprocess
import sys

import pytest
import torch
from tracking_runs import Scale, fit

from lightning_gen.tracking import IMAGES, CSVTracker


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
    killed = subprocess.run([sys.executable, "-c", code], check=False, cwd=pathlib.Path(__file__).parent.parent.parent)
    assert killed.returncode == -signal.SIGKILL
    assert rows(tmp_path) == [{IMAGES: "8", "a": "1.5"}]


def test_a_row_that_nobody_can_place_is_refused(tmp_path):
    with pytest.raises(ValueError, match=IMAGES):
        CSVTracker(tmp_path).log_metrics({"a": 1.0})
    CSVTracker(tmp_path).log_metrics({"a": 1.0, IMAGES: 5})
    assert rows(tmp_path) == [{IMAGES: "5", "a": "1.0"}]
