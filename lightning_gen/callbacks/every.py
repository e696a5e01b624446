"""The one notion of "every so many images" that pictures, evaluation and checkpoints share."""

from __future__ import annotations

import pytorch_lightning as pl

from lightning_gen.errors import UserError
from lightning_gen.models.base import GenerativeModel


class EveryImages(pl.Callback):
    """A callback that acts every so many images seen (over all ranks), rounded up to whole global batches.

    Args:
        every_images: the interval; 0 is never.
    """

    def __init__(self, every_images: int) -> None:
        super().__init__()
        if every_images < 0:
            raise UserError(f"every_images: expected 0 (never) or a positive number of images, got {every_images}")
        self.every_images = every_images

    def due(self, model: GenerativeModel) -> bool:
        """Whether the last global batch reached or crossed a multiple of the interval; nothing to save, since only progress decides."""
        if self.every_images == 0 or model.last_batch is None:
            return False
        before = model.images_seen - len(model.last_batch[0]) * model.world_size
        return model.images_seen // self.every_images != before // self.every_images


def completes_step(trainer: pl.Trainer, batch_idx: int) -> bool:
    """Whether this batch ends an optimiser step; between micro-batches a checkpoint would lose the gradients gathered so far."""
    return (batch_idx + 1) % trainer.accumulate_grad_batches == 0 or trainer.is_last_batch
