"""A tiny model with its training."""

from __future__ import annotations

import pathlib

import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader, TensorDataset

from lightning_gen.models.base import GenerativeModel


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
