"""Plots of points and densities on the line and in the plane, in frames with numbers at their axes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from lightning_gen.analysis.sheets import GAP, INK, LINE, blank, paste, stacked, words

DATA_COLOUR, MODEL_COLOUR = (240, 170, 100), (31, 78, 160)
LEFT, BOTTOM = 46, 24
"""Room for the numbers at the axes, in pixels."""
DARK_TO_BRIGHT = torch.tensor([(68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (253, 231, 37)], dtype=torch.float64)
"""Colours whose brightness grows evenly (those of matplotlib's viridis, at five places)."""


class Box(NamedTuple):
    """What a plot shows: the ends of both axes."""

    low: tuple[float, float]
    high: tuple[float, float]


def box_of(points: Tensor, margin: float = 0.1, share: float = 1.0) -> Box:
    """The box of points ``(N, 2)``, or of the middle share of each coordinate, with a margin at each side."""
    outside = torch.tensor([(1 - share) / 2, (1 + share) / 2], dtype=points.dtype)
    low, high = torch.quantile(points, outside, dim=0)
    room = margin * (high - low).clamp(min=1e-6)
    return Box(tuple((low - room).tolist()), tuple((high + room).tolist()))


def heat(values: Tensor, top: float, size: int) -> Tensor:
    """Values ``(rows, columns)`` from 0 to ``top`` as colours, dark to bright; uint8 ``(3, size, size)``, the first row on top."""
    place = (values.double() / max(top, 1e-300)).clamp(0, 1) * (len(DARK_TO_BRIGHT) - 1)
    below = place.long().clamp(max=len(DARK_TO_BRIGHT) - 2)
    colours = torch.lerp(DARK_TO_BRIGHT[below], DARK_TO_BRIGHT[below + 1], (place - below).unsqueeze(-1))
    rows, columns = (torch.arange(size) * length // size for length in values.shape)
    return colours.round().to(torch.uint8)[rows][:, columns].permute(2, 0, 1)


def dots(layers: Sequence[tuple[Tensor, Tensor]], box: Box, size: int) -> Tensor:
    """Points ``(N, 2)`` with their colours ``(N, 3)`` or ``(3,)``, later ones above earlier ones, each 2x2 pixels; y grows upwards."""
    picture = blank(size, size)
    for points, colours in layers:
        low, high = (torch.tensor(end, dtype=torch.float64) for end in box)
        column, up = ((points.double() - low) / (high - low) * (size - 2)).floor().unbind(1)
        inside = (column >= 0) & (column <= size - 2) & (up >= 0) & (up <= size - 2)  # false for NaN too
        column, row = column[inside].long(), size - 2 - up[inside].long()
        ink = colours.to(torch.uint8).expand(len(points), 3)[inside].T
        for down in (0, 1):
            for right in (0, 1):
                picture[:, row + down, column + right] = ink
    return picture


def bars(values: Tensor, box: Box, size: int, num_bins: int = 64) -> tuple[Tensor, Tensor]:
    """The histogram of numbers ``(N,)`` as a density: height of each column of pixels ``(size,)``, and of each bin."""
    low, high = box.low[0], box.high[0]
    counts = torch.histc(values.double(), num_bins, low, high)
    heights = counts / max(1, len(values)) * num_bins / (high - low)
    return heights[torch.arange(size) * num_bins // size], heights


def filled(picture: Tensor, heights: Tensor, top: float, colour: tuple[int, int, int]) -> None:
    """Columns from the bottom up to their heights, in place."""
    picture[:, from_the_top(picture) < pixels_of(heights, top, picture)] = ink(colour)


def line(picture: Tensor, heights: Tensor, top: float, colour: tuple[int, int, int]) -> None:
    """A curve through a height for each column, two pixels wide, in place."""
    here = pixels_of(heights, top, picture)
    before = torch.cat([here[:1], here[:-1]])
    up = from_the_top(picture)
    picture[:, (up >= torch.minimum(here, before) - 1) & (up <= torch.maximum(here, before))] = ink(colour)


def from_the_top(picture: Tensor) -> Tensor:
    """How far above the bottom each row of pixels lies, ``(H, 1)``."""
    return torch.arange(picture.shape[1] - 1, -1, -1).view(-1, 1)


def pixels_of(heights: Tensor, top: float, picture: Tensor) -> Tensor:
    """Heights in pixels, those beyond the picture's cut off."""
    return (heights.double() / top * (picture.shape[1] - 1)).clamp(0, picture.shape[1]).round()


def ink(colour: tuple[int, int, int]) -> Tensor:
    """A colour to fill with."""
    return torch.tensor(colour, dtype=torch.uint8).view(3, 1)


def panel(plot: Tensor, title: str, box: Box, axes: tuple[bool, bool] = (True, True), named: tuple[str, str] | None = None) -> Tensor:
    """A plot ``(3, H, W)`` under its title, with round numbers at those of its axes, x and y, that have a meaning, and their names."""
    if named is not None:
        return with_names(panel(plot, title, box, axes), plot, named)
    height, width = plot.shape[1:]
    heading = words(title)
    top = LINE + 2 * GAP
    picture = blank(top + height + 2 + BOTTOM, max(LEFT + width + 2 + 3 * GAP, LEFT + heading.shape[2] + GAP))
    paste(picture, heading, GAP, LEFT)
    paste(picture, blank(height + 2, width + 2, 160), top - 1, LEFT - 1)
    paste(picture, plot, top, LEFT)
    for value in ticks(box.low[0], box.high[0]) if axes[0] else []:
        column = LEFT + round((value - box.low[0]) / (box.high[0] - box.low[0]) * (width - 1))
        number = words(f"{value:.6g}")
        picture[:, top + height : top + height + 4, column] = INK
        paste(picture, number, top + height + 6, max(0, column - number.shape[2] // 2))
    for value in ticks(box.low[1], box.high[1]) if axes[1] else []:
        row = top + height - 1 - round((value - box.low[1]) / (box.high[1] - box.low[1]) * (height - 1))
        number = words(f"{value:.6g}")
        picture[:, row, LEFT - 4 : LEFT] = INK
        paste(picture, number, row - LINE // 2, max(0, LEFT - 8 - number.shape[2]))
    return picture


def with_names(panel: Tensor, plot: Tensor, named: tuple[str, str]) -> Tensor:
    """A panel with the name of x below the middle of its plot, and that of y to the left of it, turned upwards."""
    height, width = plot.shape[1:]
    across, upwards = words(named[0]), words(named[1]).rot90(1, (1, 2))
    picture = blank(panel.shape[1] + LINE, LINE + panel.shape[2])
    paste(picture, panel, 0, LINE)
    paste(picture, across, panel.shape[1] - 2, LINE + LEFT + max(0, width - across.shape[2]) // 2)
    paste(picture, upwards, LINE + 2 * GAP + max(0, height - upwards.shape[1]) // 2, 2)
    return picture


def scale_bar(top: float, height: int) -> Tensor:
    """What the colours of :func:`heat` mean: a bar from 0 to ``top``."""
    colours = heat(torch.linspace(top, 0, height).view(-1, 1), top, height)[:, :, : 2 * LINE]
    return panel(colours, "density", Box((0.0, 0.0), (1.0, top)), axes=(False, True))


def ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Round numbers between two, 1, 2 or 5 times a power of ten apart."""
    rough = (high - low) / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * (1 - 1e-9))
    return [step * number for number in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def beside(pictures: Sequence[Tensor], most: int = 4) -> Tensor:
    """Pictures from left to right, so many to a row."""
    return stacked([_row(pictures[start : start + most]) for start in range(0, len(pictures), most)])


def _row(pictures: Sequence[Tensor]) -> Tensor:
    whole = blank(max(picture.shape[1] for picture in pictures), sum(picture.shape[2] for picture in pictures))
    left = 0
    for picture in pictures:
        paste(whole, picture, 0, left)
        left += picture.shape[2]
    return whole
