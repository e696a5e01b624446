"""The curve of a run's headline score against images seen, with its best and its last point: a GAN's best is often not its last."""

from __future__ import annotations

import csv
import math
import pathlib

import numpy as np
import torch
from torch import Tensor

from lightning_gen.analysis.plots import DATA_COLOUR, MODEL_COLOUR, Box, line, panel
from lightning_gen.analysis.sheets import blank, paste
from lightning_gen.tracking import IMAGES, SCORE_PREFIXES

WIDTH, HEIGHT = 480, 280
"""Of the plot, in pixels."""
MARK = 7
"""Side of the square at a point."""


def read_curve(file: pathlib.Path, name: str) -> list[tuple[int, float]]:
    """Images seen and values of a score in a run's ``metrics.csv``, in order.

    Those of the full protocol at checkpoints where there are at least two, else those of few samples; none where there are fewer. Of a
    point that was logged twice, before and after an interruption, the later counts.
    """
    with file.open(newline="") as stream:
        rows = [*csv.DictReader(stream)]
    for prefix in reversed(SCORE_PREFIXES):
        column = f"{prefix}/{name}"
        points = {int(float(row[IMAGES])): float(row[column]) for row in rows if row.get(column) and row.get(IMAGES)}
        finite = sorted((images, value) for images, value in points.items() if math.isfinite(value))
        if len(finite) >= 2:
            return finite
    return []


def score_curve(points: list[tuple[int, float]], name: str, better: str) -> Tensor:
    """The curve through points (images seen, value), at least two, uint8 ``(3, H, W)``; its title names the best and the last."""
    images, values = (np.array(column, dtype=np.float64) for column in zip(*points, strict=True))
    best = int(values.argmin() if better == "lower" else values.argmax())
    box = Box((images[0], min(0.0, values.min())), (images[-1], values.max() * 1.05 if values.max() > 0 else 1.0))
    plot = blank(HEIGHT, WIDTH)
    heights = np.interp(np.linspace(images[0], images[-1], WIDTH), images, values) - box.low[1]
    line(plot, torch.from_numpy(heights), box.high[1] - box.low[1], MODEL_COLOUR)
    for place in (-1, best):
        mark(plot, (images[place], values[place]), box)
    title = f"{name}: best {values[best]:.4g} at {images[best]:,.0f} images, last {values[-1]:.4g} at {images[-1]:,.0f}"
    return panel(plot, title, box, named=("images seen", name))


def mark(plot: Tensor, point: tuple[float, float], box: Box) -> None:
    """A square at a point of a plot, in place."""
    across, up = ((value - low) / (high - low) for value, low, high in zip(point, *box, strict=True))
    square = torch.tensor(DATA_COLOUR, dtype=torch.uint8).view(3, 1, 1).expand(3, MARK, MARK)
    top, left = round((1 - up) * (HEIGHT - MARK)), round(across * (WIDTH - MARK))
    paste(plot, square, top, left)
