"""What all tests share: one thread, a fixed seed, no network, and a tiny data set with a trainer for it."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from typing import Any

os.environ["WANDB_MODE"] = "disabled"
# Reference statistics of this session only; the processes that tests start inherit the variable.
os.environ["LIGHTNING_GEN_CACHE"] = tempfile.mkdtemp(prefix="lightning-gen-tests-")

import numpy as np
import pytest
import pytorch_lightning as pl
import torch

from lightning_gen.data.base import ImageDataModule
from lightning_gen.models.base import GenerativeModel


@pytest.fixture(scope="session", autouse=True)
def own_cache() -> Iterator[None]:
    """No reference statistics from before, none left behind."""
    folder = os.environ["LIGHTNING_GEN_CACHE"]
    yield
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(autouse=True)
def deterministic() -> Iterator[None]:
    """The same global random numbers, one thread and float32 for every test, whatever ran before it."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.fixture
def float64() -> None:
    """float64 as the default type for the time of a test."""
    torch.set_default_dtype(torch.float64)


class Tiny(ImageDataModule):
    """Random images (or vectors) of any shape, in memory."""

    name = "tiny"

    def __init__(
        self, batch_size: int = 16, data_shape: Sequence[int] = (1, 8, 8), count: int = 96, num_classes: int = 4, **options: Any
    ) -> None:
        super().__init__(batch_size, **options)
        self.data_shape = tuple(data_shape)
        self.count = count
        self.num_classes = num_classes

    def load(self, split: str) -> tuple[np.ndarray, np.ndarray]:
        generator = np.random.default_rng(self.count)
        labels = generator.integers(0, self.num_classes, size=self.count)
        if len(self.data_shape) == 1:
            return generator.standard_normal((self.count, *self.data_shape), dtype=np.float32), labels
        return generator.integers(0, 256, size=(self.count, *self.data_shape), dtype=np.uint8), labels


@pytest.fixture
def tiny() -> type[Tiny]:
    return Tiny


@pytest.fixture
def fit() -> Callable[..., pl.Trainer]:
    """``fit(model, data, batches=2, **trainer_options)``: train in process on the CPU."""

    def run(model: GenerativeModel, data: ImageDataModule, batches: int = 2, **options: Any) -> pl.Trainer:
        switches = ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary")
        limits = {"max_epochs": 1, "limit_train_batches": batches, "limit_val_batches": 0}
        trainer = pl.Trainer(**{"accelerator": "cpu", "devices": 1, **dict.fromkeys(switches, False), **limits} | options)
        trainer.fit(model, datamodule=data)
        return trainer

    return run


@pytest.fixture
def save(tmp_path) -> Callable[[GenerativeModel], str]:
    """Write a model's checkpoint without training it."""

    def write(model: GenerativeModel, name: str = "model.ckpt") -> str:
        trainer = pl.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False)
        trainer.strategy.connect(model)
        trainer.save_checkpoint(tmp_path / name)
        return str(tmp_path / name)

    return write
