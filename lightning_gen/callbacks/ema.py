"""Exponential moving average of the weights that sample."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl

from lightning_gen.errors import UserError
from lightning_gen.models.base import Batch, GenerativeModel


class EMA(pl.Callback):
    """Keeps an exponential moving average of the networks that the model names, as a submodule of the model.

    The half-life is in images, so it means the same at every batch size and number of processes:
    decay = 0.5 ** (images per global batch / half-life).

    Args:
        half_life_images: images after which an old weight counts half; 0 for no averages.
    """

    def __init__(self, half_life_images: int = 0) -> None:
        super().__init__()
        if half_life_images < 0:
            raise UserError(f"ema.half_life_images: expected 0 (off) or a positive number of images, got {half_life_images}")
        self.half_life_images = half_life_images

    def on_train_batch_end(self, trainer: pl.Trainer, model: GenerativeModel, outputs: Any, batch: Batch, batch_idx: int) -> None:
        """Start the averages after the first step, hence after any data-dependent initialisation; update them after every other."""
        if not self.half_life_images or not model.averaged_networks:
            return
        if model.ema is None:
            model.create_ema()
        else:
            model.update_ema(0.5 ** (len(batch[0]) * model.world_size / self.half_life_images))
