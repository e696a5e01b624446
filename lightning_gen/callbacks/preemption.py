"""A run that is told to go away saves itself first."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any

import pytorch_lightning as pl

from lightning_gen.callbacks.checkpoints import Checkpoints
from lightning_gen.callbacks.every import completes_step
from lightning_gen.distributed import any_rank
from lightning_gen.models.base import Batch, GenerativeModel

SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)


class Preemption(pl.Callback):
    """On SIGTERM, SIGUSR1 or Ctrl-C, saves ``last.ckpt`` between two steps and stops the run on all ranks; a second Ctrl-C stops at once.

    The handler only sets a flag: a save inside it could fall between a GAN's two updates, and ranks get the signal at different batches.

    Args:
        checkpoints: the callback that saves.
    """

    every_batches_on_accelerator = 16
    """Reading the flag waits for an accelerator, so it is read this often there; a batch takes well under a second."""

    def __init__(self, checkpoints: Checkpoints) -> None:
        super().__init__()
        self.checkpoints = checkpoints
        self.preempted = False
        self._signalled = False
        self._looked_at = 0
        self._previous: dict[signal.Signals, Any] = {}

    def setup(self, trainer: pl.Trainer, model: GenerativeModel, stage: str) -> None:
        """Note who handles the signals; here, before Lightning installs its own handlers, which swallow SIGTERM and must not outlive it."""
        self._previous = {number: signal.getsignal(number) for number in SIGNALS if _in_main_thread()}

    def on_train_start(self, trainer: pl.Trainer, model: GenerativeModel) -> None:
        """Take over the signals; here, after Lightning has installed its own handlers."""
        for number in self._previous:
            signal.signal(number, self._note)

    def on_train_batch_end(self, trainer: pl.Trainer, model: GenerativeModel, outputs: Any, batch: Batch, batch_idx: int) -> None:
        """Agree over ranks, save, stop."""
        patience = 1 if model.device.type == "cpu" else self.every_batches_on_accelerator
        if model.batches_seen - self._looked_at < patience or not completes_step(trainer, batch_idx):
            return
        self._looked_at = model.batches_seen
        if any_rank(self._signalled, model.device):
            self.preempted = True
            self.checkpoints.save_last(trainer, model)
            trainer.should_stop = True

    def teardown(self, trainer: pl.Trainer, model: GenerativeModel, stage: str) -> None:
        """Give the signals back."""
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous = {}

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._signalled = True
        if number == signal.SIGINT:
            signal.signal(number, self._previous[signal.SIGINT])


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
