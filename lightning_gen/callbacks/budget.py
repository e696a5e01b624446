"""When a run is over: counted in images, never in optimiser steps, which a GAN makes two of per batch."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl

from lightning_gen.callbacks.every import completes_step
from lightning_gen.errors import UserError
from lightning_gen.models.base import Batch, GenerativeModel


class Budget(pl.Callback):
    """Stops training at the first whole global batch at which the model has seen so many images.

    Args:
        images: real images given to the model, over all processes and epochs.
    """

    def __init__(self, images: int = 1_000_000) -> None:
        super().__init__()
        if images < 1:
            raise UserError(f"budget.images: expected at least 1, got {images}")
        self.images = images

    def on_train_start(self, trainer: pl.Trainer, model: GenerativeModel) -> None:
        """A resumed run may have spent its budget already."""
        trainer.should_stop = trainer.should_stop or model.images_seen >= self.images

    def on_train_batch_end(self, trainer: pl.Trainer, model: GenerativeModel, outputs: Any, batch: Batch, batch_idx: int) -> None:
        """Stop after the step that reaches the budget."""
        if model.images_seen >= self.images and completes_step(trainer, batch_idx):
            trainer.should_stop = True
