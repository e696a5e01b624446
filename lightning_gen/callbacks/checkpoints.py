"""Checkpoints that a kill, a full disk or a NaN cannot spoil."""

from __future__ import annotations

import os
import pathlib
from typing import Any

import pytorch_lightning as pl

from lightning_gen.callbacks.every import EveryImages, completes_step
from lightning_gen.distributed import barrier, broadcast_buffers
from lightning_gen.errors import UserError
from lightning_gen.models.base import Batch, GenerativeModel


class Checkpoints(EveryImages):
    """Saves ``checkpoints/last.ckpt`` every so many images and at the end.

    Args:
        every_images: the interval; 0 saves at the end only.
        untrained: also save the state before the first step, as the baseline that training has to beat.
    """

    def __init__(self, every_images: int = 0, untrained: bool = False) -> None:
        super().__init__(every_images)
        self.untrained = untrained
        self._wanted = False
        self._saved_at: int | None = None

    def on_train_start(self, trainer: pl.Trainer, model: GenerativeModel) -> None:
        """Save the baseline."""
        if self.untrained and model.images_seen == 0:
            save_checkpoint(trainer, model, "untrained")

    def on_train_batch_end(self, trainer: pl.Trainer, model: GenerativeModel, outputs: Any, batch: Batch, batch_idx: int) -> None:
        """Save when the interval is crossed, and before training stops."""
        self._wanted = self._wanted or self.due(model) or trainer.should_stop
        if self._wanted and completes_step(trainer, batch_idx):
            self.save_last(trainer, model)
            self._wanted = False

    def on_train_end(self, trainer: pl.Trainer, model: GenerativeModel) -> None:
        """Save what a user's own callback ended between two intervals."""
        self.save_last(trainer, model)

    def save_last(self, trainer: pl.Trainer, model: GenerativeModel) -> None:
        """Save ``last.ckpt`` unless it already holds this state."""
        if self._saved_at != model.images_seen:
            save_checkpoint(trainer, model, "last")
            self._saved_at = model.images_seen


def save_checkpoint(trainer: pl.Trainer, model: GenerativeModel, name: str) -> pathlib.Path:
    """Write ``checkpoints/<name>.ckpt`` of the run: complete or not at all, the same weights and buffers on every rank, never a NaN.

    Every rank has to call this.

    Raises:
        UserError: the file cannot be written (a full disk, a read-only folder); the previous one is left as it was.
    """
    broadcast_buffers(model)
    model.guard.check(model)
    model.guard.check_weights(model)
    path = pathlib.Path(trainer.default_root_dir) / "checkpoints" / f"{name}.ckpt"
    partial = path.with_suffix(".partial")
    try:
        trainer.save_checkpoint(partial, weights_only=False)
        if trainer.is_global_zero:
            _flush(partial)
            os.replace(partial, path)
    except (OSError, RuntimeError) as error:
        _discard(partial)
        raise UserError(f"{path}: cannot be saved ({error}); what was saved before is untouched") from error
    barrier()
    model.guard.last_checkpoint = str(path)
    return path


def _flush(path: pathlib.Path) -> None:
    """Wait until the content is on the disk, so that the renaming cannot overtake it."""
    with open(path, "rb+") as file:
        os.fsync(file.fileno())


def _discard(path: pathlib.Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError:
        return  # the folder went read-only: there is nothing to tidy
