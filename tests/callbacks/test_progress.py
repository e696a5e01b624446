"""The progress display: right place, right speed, right rank, and no reading of tensors between two looks."""

from __future__ import annotations

import io
import sys
from types import SimpleNamespace

import pytest
import pytorch_lightning as pl
import torch
from torch import nn
from torch.utils.data import DataLoader

from lightning_gen.callbacks import progress
from lightning_gen.callbacks.progress import Progress, Speed, clock
from lightning_gen.errors import UserError


class Terminal(io.StringIO):
    """A stream that rich takes for a terminal."""

    def isatty(self):
        return True


class Clock:
    """Stands still until it is told."""

    def __init__(self, monkeypatch):
        self.now = 100.0
        monkeypatch.setattr(progress.time, "monotonic", lambda: self.now)


class Stub(pl.LightningModule):
    """Counts its images as a GenerativeModel does."""

    def __init__(self):
        super().__init__()
        self.images_seen = 0
        self.weight = nn.Parameter(torch.ones(1))

    def on_train_batch_start(self, batch, batch_idx):
        self.images_seen += len(batch)

    def training_step(self, batch, batch_idx):
        loss = (self.weight * batch).mean()
        self.log_dict({"train/loss": loss, "train/kl": loss + 1, "other": loss})
        return loss

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.0)


class Metrics(dict):
    """Counts how often it is read."""

    reads = 0

    def items(self):
        self.reads += 1
        return super().items()


def drive(callback, clock, seconds_and_images, start=0, metrics=None):
    """Run the callback through batches that end at given seconds (after the start) with given images seen."""
    trainer = SimpleNamespace(callback_metrics={} if metrics is None else metrics, is_global_zero=True)
    model, begin = SimpleNamespace(images_seen=start), clock.now
    callback.on_train_start(trainer, model)
    for seconds, model.images_seen in seconds_and_images:
        clock.now = begin + seconds
        callback.on_train_batch_end(trainer, model, None, None, 0)
    return trainer, model


def test_the_speed_is_recent_and_the_average_leaves_out_the_first_batch():
    speed = Speed()
    assert (speed.recent, speed.average) == (0, 0)
    for seconds, images in [(60, 1000), (70, 2000), (80, 3000), (90, 6000), (91, 6300)]:  # 60 s to compile
        speed.mark(seconds, images)
    assert speed.average == pytest.approx(5300 / 31)
    assert speed.recent == pytest.approx(3300 / 11)


def test_speed_does_not_count_the_images_of_earlier_sessions(monkeypatch, capsys):
    callback = Progress(total_images=1_002_000)
    drive(callback, Clock(monkeypatch), [(1, 1_000_100), (11, 1_001_100)], start=1_000_000)
    line = capsys.readouterr().err
    assert line == "1,001,100 of 1,002,000 images  100 images/s  0:09 left\n"


def test_without_a_terminal_there_is_a_line_every_ten_seconds_and_one_at_the_end(monkeypatch, capsys):
    callback = Progress(total_images=350)
    metrics = {"train/loss": torch.tensor(0.123456), "val/loss": torch.tensor(1.0)}
    trainer, model = drive(callback, Clock(monkeypatch), [(seconds, 10 * seconds) for seconds in range(1, 36)], metrics=metrics)
    callback.on_train_end(trainer, model)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(" images")[0] for line in lines] == ["100 of 350", "200 of 350", "300 of 350", "350 of 350"]
    assert lines[1] == "200 of 350 images  10 images/s  0:15 left  loss 0.1235"
    assert lines[-1] == "350 of 350 images  10 images/s  loss 0.1235"


def test_on_a_terminal_the_bar_is_redrawn_four_times_a_second_at_most(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    metrics = Metrics({"train/loss": torch.tensor(0.5)})
    callback = Progress(total_images=3000)
    trainer, model = drive(callback, Clock(monkeypatch), [(step / 1000, step) for step in range(2001)], metrics=metrics)
    assert 7 <= metrics.reads <= 9
    callback.on_train_end(trainer, model)


def test_a_resumed_bar_starts_where_the_run_is(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    callback = Progress(total_images=3000)
    drive(callback, Clock(monkeypatch), [], start=1200)
    assert callback.display.bar.tasks[0].completed == 1200
    assert callback.display.bar.tasks[0].total == 3000
    callback.on_exception(None, None, KeyboardInterrupt())
    assert callback.display.bar is None


@pytest.mark.parametrize("stream", [io.StringIO, Terminal])
def test_in_a_training_it_is_the_only_display_and_ends_with_the_final_state(tmp_path, monkeypatch, capsys, stream):
    output = stream()
    monkeypatch.setattr(sys, "stderr", output)
    model = Stub()
    trainer = pl.Trainer(
        default_root_dir=tmp_path, callbacks=[Progress(40)], logger=False, max_epochs=1, accelerator="cpu",
        enable_model_summary=False, enable_checkpointing=False,
    )  # fmt: skip
    trainer.fit(model, DataLoader(torch.ones(40, 1), batch_size=8))
    last = output.getvalue().removesuffix("\x1b[?25h").splitlines()[-1]  # but for the cursor, which is shown again
    assert "40 / 40 " in last if stream is Terminal else last.startswith("40 of 40 images")
    assert "loss 1" in last
    assert "kl 2" in last
    assert "other" not in last
    assert "Epoch" not in output.getvalue() + capsys.readouterr().out
    assert sys.stderr is output


def test_other_ranks_show_nothing(monkeypatch, capsys):
    callback = Progress(total_images=100)
    callback.setup(SimpleNamespace(is_global_zero=False), None, "fit")
    trainer, model = drive(callback, Clock(monkeypatch), [(1, 10), (20, 100)])
    callback.on_train_end(trainer, model)
    callback.print("x")
    assert capsys.readouterr().err == ""


def test_a_budget_of_nothing_is_refused():
    with pytest.raises(UserError, match=r"total_images: .* got 0"):
        Progress(0)


@pytest.mark.parametrize(("seconds", "text"), [(5, "0:05"), (59.7, "1:00"), (3600, "1:00:00"), (183845, "2d 3:04:05")])
def test_time_left_reads_as_a_clock(seconds, text):
    assert clock(seconds) == text
