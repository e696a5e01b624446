"""Pictures of what a model can do, drawn during training into the run folder and to every logger that takes pictures."""

from __future__ import annotations

import math
import os
import pathlib
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from lightning_gen.callbacks.every import EveryImages
from lightning_gen.distributed import say
from lightning_gen.errors import UserError
from lightning_gen.images import is_image, make_grid, save_png
from lightning_gen.leaderboard.sheet import KEY, SheetNoise
from lightning_gen.models.base import GenerativeModel
from lightning_gen.models.capabilities import capabilities_of

POINTS_PER_IMAGE = 64
"""A picture of vectors shows this many points for each image that a grid would show: a density needs thousands to be seen."""

PLOT_SIZE = 256
"""Height and width of a picture of vectors, in pixels."""

_PAPER, _DATA_INK, _MODEL_INK = (255, 255, 255), (224, 130, 40), (31, 78, 160)


class PictureCallback(EveryImages):
    """Draws a picture every so many images seen and at the end of training, on rank 0, without touching the training state.

    Drawing uses the plain module (never the DDP wrapper), averaged weights, indexed noise, and no collective: the other ranks go on and
    wait in their next step.

    Args:
        every_images: the interval in images seen; 0 draws nothing at all.
        num_images: how many images a picture shows.
    """

    capability: str
    """What a model must be capable of."""
    picture_name: str
    """Start of the file's name, and name of the picture in the loggers."""

    def __init__(self, every_images: int, num_images: int) -> None:
        super().__init__(every_images)
        if num_images < 1:
            raise UserError(f"num_images: expected at least 1, got {num_images}")
        self.num_images = num_images
        self.obstacle: str | None = None

    def draw(self, trainer: pl.Trainer, model: GenerativeModel) -> Tensor:
        """The picture, uint8 ``(3, H, W)``; called within :meth:`GenerativeModel.inference`."""
        raise NotImplementedError

    def pictures(self, trainer: pl.Trainer, model: GenerativeModel) -> dict[str, Tensor]:
        """Name and picture of all that is drawn: one, unless a subclass has more."""
        return {self.picture_name: self.draw(trainer, model)}

    def texts(self, model: GenerativeModel) -> dict[str, str]:
        """What the files of the pictures that were just drawn say of themselves."""
        return {}

    def find_obstacle(self, trainer: pl.Trainer, model: GenerativeModel) -> str | None:
        """Why this model cannot be drawn; None when it can."""
        if self.capability in capabilities_of(model):
            return None
        return f"{type(model).__name__} is not capable of {self.capability}"

    def on_fit_start(self, trainer: pl.Trainer, pl_module: GenerativeModel) -> None:
        """Say once when there will be no pictures, and why."""
        self.obstacle = self.find_obstacle(trainer, pl_module)
        if self.obstacle and self.every_images:
            say(f"{type(self).__name__}: no pictures, {self.obstacle}")

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: GenerativeModel, *args: Any) -> None:
        """Draw when the interval is over."""
        if self.due(pl_module):
            self._publish(trainer, pl_module)

    def on_train_end(self, trainer: pl.Trainer, pl_module: GenerativeModel) -> None:
        """Draw the final model, unless the last batch was due anyway."""
        if self.every_images and not self.due(pl_module):
            self._publish(trainer, pl_module)

    def _publish(self, trainer: pl.Trainer, model: GenerativeModel) -> None:
        if self.obstacle or not trainer.is_global_zero:
            return
        with model.inference("ema"):
            pictures = self.pictures(trainer, model)
            texts = self.texts(model)
        folder = pathlib.Path(trainer.default_root_dir) / "pictures"
        folder.mkdir(parents=True, exist_ok=True)
        for name, picture in pictures.items():
            # Ten digits, so that names sort by progress.
            path = folder / f"{name}_{model.images_seen:010d}.png"
            partial = path.with_name(f".{path.name}.partial")
            save_png(picture, os.fspath(partial), texts)
            partial.replace(path)
            for logger in trainer.loggers:
                if hasattr(logger, "log_media"):
                    logger.log_media(f"pictures/{name}", picture, model.images_seen)


class SampleGrid(PictureCallback):
    """Samples of a fixed seed, so that one sees the same noise become better pictures; one row per class for a conditional model.

    Vectors are drawn as a histogram (1-D) or as points (the first two dimensions) over the last training batch in orange.

    Args:
        every_images: the interval in images seen; 0 draws nothing at all.
        num_images: how many images a picture shows (64 times as many points for vectors).
        seed: the seed of the noise.
    """

    capability = "sampling"
    picture_name = "samples"

    def __init__(self, every_images: int, num_images: int = 64, seed: int = 0) -> None:
        super().__init__(every_images, num_images)
        self.seed = seed

    def draw(self, trainer: pl.Trainer, model: GenerativeModel) -> Tensor:
        """A grid of images, or a plot of vectors."""
        if not is_image(model.data_shape):
            points = model.sample(self.num_images * POINTS_PER_IMAGE, seed=self.seed)
            return plot_vectors(points, points if model.last_batch is None else model.last_batch[0])
        labels, columns = self._layout(model)
        if labels is None:
            return make_grid(model.sample(self.num_images, seed=self.seed), num_columns=columns)
        return make_grid(model.sample(len(labels), seed=self.seed, labels=labels.to(model.device)), num_columns=columns)

    def _layout(self, model: GenerativeModel) -> tuple[Tensor | None, int]:
        """The labels of a grid, None where the model chooses its own or takes none, and its number of columns."""
        if model.conditional and model.num_classes:
            return class_rows(model.trained_classes, self.num_images)
        return None, math.ceil(math.sqrt(self.num_images))

    def texts(self, model: GenerativeModel) -> dict[str, str]:
        """The noise, so that two sheets can be told to be of the same; nothing of a model that does not keep what it drew."""
        draws = getattr(model, "sample_draws", None)
        if not draws:
            return {}
        labels, columns = self._layout(model) if is_image(model.data_shape) else (None, None)
        told = SheetNoise(
            seed=self.seed,
            draws=[f"{kind} {name} ({' x '.join(map(str, shape))})" for (kind, name), shape in draws.items()],
            columns=columns,
            labels=None if labels is None else labels.tolist(),
        )
        return {KEY: told.as_text()}


class ReconstructionGrid(PictureCallback):
    """The first validation images, each with its reconstruction to the right.

    Args:
        every_images: the interval in images seen; 0 draws nothing at all.
        num_images: how many validation images are reconstructed.
    """

    capability = "reconstruction"
    picture_name = "reconstructions"

    def __init__(self, every_images: int, num_images: int = 32) -> None:
        super().__init__(every_images, num_images)

    def find_obstacle(self, trainer: pl.Trainer, model: GenerativeModel) -> str | None:
        """Besides the model, the validation images have to be there."""
        missing = None if hasattr(trainer.datamodule, "batch") else "the trainer has no datamodule with validation images"
        return super().find_obstacle(trainer, model) or missing

    def draw(self, trainer: pl.Trainer, model: GenerativeModel) -> Tensor:
        """Pairs of image and reconstruction, four to a row; or a plot of vectors."""
        data = trainer.datamodule
        images, labels = data.batch("validation", range(min(self.num_images, data.split_size("validation"))), model.device)
        reconstructions = model.reconstruct(images, labels=labels if model.conditional else None)
        if not is_image(model.data_shape):
            return plot_vectors(reconstructions, images)
        pairs = torch.stack([images, reconstructions], dim=1).flatten(0, 1)
        return make_grid(pairs, num_columns=8)


def class_rows(classes: list[int], num_images: int) -> tuple[Tensor, int]:
    """Labels ``(rows * columns,)`` of a grid with one class to a row, and its number of columns: at least four where there is room, so of
    many classes only some, evenly spaced, are shown."""
    rows = max(1, min(len(classes), num_images // 4))
    columns = num_images // rows
    return torch.tensor(classes)[torch.arange(rows) * len(classes) // rows].repeat_interleave(columns), columns


def plot_vectors(points: Tensor, reference: Tensor) -> Tensor:
    """Vectors ``(N, D)`` in blue over reference vectors ``(M, D)`` in orange, framed by the reference: uint8 ``(3, 256, 256)``."""
    points, reference = _finite(points), _finite(reference)
    plot = _histogram if points.shape[1] == 1 else _scatter
    picture = torch.tensor(_PAPER, dtype=torch.uint8).view(3, 1, 1).repeat(1, PLOT_SIZE, PLOT_SIZE)
    if len(reference):
        for values, ink in ((reference, _DATA_INK), (points, _MODEL_INK)):
            picture[:, plot(_to_frame(values, reference))] = torch.tensor(ink, dtype=torch.uint8).view(3, 1)
    return picture


def _finite(points: Tensor) -> Tensor:
    """The first two dimensions of the vectors that can be drawn; early in training some are infinite."""
    points = points.detach().cpu().double()[:, :2]
    return points[points.isfinite().all(dim=1)]


def _to_frame(points: Tensor, reference: Tensor) -> Tensor:
    """Points whose frame (the reference's box with a margin of a tenth) becomes [0, 1)."""
    low, high = reference.min(dim=0).values, reference.max(dim=0).values
    margin = ((high - low) / 10).clamp(min=1e-6)
    return (points - low + margin) / (high - low + 2 * margin)


def _scatter(points: Tensor) -> Tensor:
    """Which pixels ``(256, 256)`` hold a point; y grows upwards."""
    column, row = (points * PLOT_SIZE).floor().clamp(-1, PLOT_SIZE).long().unbind(dim=1)
    inside = (column >= 0) & (column < PLOT_SIZE) & (row >= 0) & (row < PLOT_SIZE)
    mask = torch.zeros(PLOT_SIZE, PLOT_SIZE, dtype=torch.bool)
    mask[PLOT_SIZE - 1 - row[inside], column[inside]] = True
    return mask


def _histogram(points: Tensor, bins: int = 64) -> Tensor:
    """Which pixels ``(256, 256)`` lie on the outline of the histogram, the highest bar reaching the top."""
    counts = torch.histc(points.float(), bins, min=0, max=1)
    heights = (counts / counts.max().clamp(min=1) * (PLOT_SIZE - 1)).repeat_interleave(PLOT_SIZE // bins)
    previous = torch.cat([heights[:1], heights[:-1]])
    level = torch.arange(PLOT_SIZE - 1, -1, -1).view(-1, 1)
    return (level >= torch.minimum(heights, previous).floor()) & (level <= torch.maximum(heights, previous).floor())
