"""Pictures with words: rows of images with names beside and above them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from lightning_gen.images import make_grid

PAPER, INK, GREY = 255, 40, 127
GAP = 6
"""Pixels around words."""
LINE = 14
"""Height of a line of words, in pixels."""
BETWEEN = 2
"""Pixels between images."""


def words(text: str) -> Tensor:
    """One line of text, dark on white, uint8 ``(3, 14, W)``."""
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.load_default()
    width = math.ceil(font.getlength(text)) + 1
    picture = Image.new("L", (max(1, width), LINE), PAPER)
    ImageDraw.Draw(picture).text((0, 1), text, fill=INK, font=font)
    return torch.from_numpy(np.array(picture)).expand(3, -1, -1)


def blank(height: int, width: int, value: int = PAPER) -> Tensor:
    """A picture of one grey, uint8 ``(3, height, width)``."""
    return torch.full((3, height, width), value, dtype=torch.uint8)


def paste(picture: Tensor, patch: Tensor, top: int, left: int) -> None:
    """Put a patch into a picture, in place; what reaches beyond its edge is cut off."""
    patch = patch[:, : max(0, picture.shape[1] - top), : max(0, picture.shape[2] - left)]
    picture[:, top : top + patch.shape[1], left : left + patch.shape[2]] = patch


def sheet(rows: Sequence[Tensor], names: Sequence[str], columns: Sequence[str] = (), title: str = "", corner: str = "") -> Tensor:
    """Rows of images, each with its name to the left, under the columns' names: uint8 ``(3, H, W)``.

    Args:
        rows: uint8 ``(N, C, H, W)`` each; short rows end early.
        names: of the rows.
        columns: of the columns, of as many lines each as the first one; an empty name leaves its place free.
        title: a line above everything.
        corner: what stands above the rows' names, line by line beside the columns' names.
    """
    width = max(len(row) for row in rows)
    grid = make_grid(torch.cat([padded(row.cpu(), width) for row in rows]), num_columns=width, padding=BETWEEN)
    tile_height, tile_width = (grid.shape[1] - BETWEEN) // len(rows), (grid.shape[2] - BETWEEN) // width
    labels = [words(name) for name in names]
    above = [words(line) for line in corner.split("\n")]
    margin = max(label.shape[2] for label in [*labels, *above]) + 2 * GAP
    lines = columns[0].count("\n") + 1 if columns else 0
    top = GAP + (LINE + GAP) * (bool(title) + bool(columns)) + LINE * max(0, lines - 1)
    heading = words(title)
    picture = blank(top + grid.shape[1] + GAP, max(margin + grid.shape[2], heading.shape[2] + GAP) + GAP)
    paste(picture, grid, top, margin)
    for number, label in enumerate(labels):
        paste(picture, label, top + number * tile_height + (tile_height - LINE) // 2, GAP)
    for number, name in enumerate(columns):
        for line, text in enumerate(name.split("\n")):
            label = words(text)
            left = margin + number * tile_width + (tile_width - label.shape[2]) // 2
            paste(picture, label, top - 2 - LINE * (lines - line), left)
    for line, label in enumerate(above if corner else []):
        paste(picture, label, top - 2 - LINE * (lines - line), GAP)
    if title:
        paste(picture, heading, GAP, GAP)
    return picture


def padded(row: Tensor, width: int) -> Tensor:
    """A row of images filled up with grey ones."""
    return torch.cat([row, row.new_full((width - len(row), *row.shape[1:]), GREY)])


def stacked(pictures: Sequence[Tensor]) -> Tensor:
    """Pictures one below the other, on white."""
    width = max(picture.shape[2] for picture in pictures)
    whole = blank(sum(picture.shape[1] for picture in pictures), width)
    top = 0
    for picture in pictures:
        paste(whole, picture, top, 0)
        top += picture.shape[1]
    return whole
