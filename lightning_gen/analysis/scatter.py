"""Scatter: where encoded images lie in the latent space, by class."""

from __future__ import annotations

import colorsys

import torch
from torch import Tensor

from lightning_gen.analysis.exploration import Exploration, Explorer, Request, rounded
from lightning_gen.analysis.latent_space import MANY, LatentSpace
from lightning_gen.analysis.sheets import LINE, blank, paste, words

SIZE = 512
"""Height and width of the plot, in pixels."""
MARGIN = 40
LEGEND = 70
DOT = 2
"""Pixels from the middle of a point to its edge."""

COLOURS = [
    (31, 119, 180), (255, 127, 14), (44, 160, 44), (214, 39, 40), (148, 103, 189),
    (140, 86, 75), (240, 110, 200), (110, 110, 110), (188, 189, 34), (23, 190, 207),
]  # fmt: skip
"""Of the first ten classes (the colours that matplotlib takes by default, the pink stronger)."""


class Scatter(Explorer):
    """Two-dimensional latents by class; of longer latents the first two principal components."""

    name = "scatter"
    options = ("num_images",)

    def obstacle(self, space: LatentSpace, request: Request) -> str | None:
        if obstacle := space.cannot_encode():
            return obstacle
        return None if space.latent_dim > 1 else f"{space.name} has 1 latent dimension; a scatter plot is a picture of 2"

    def draw(self, space: LatentSpace, request: Request) -> Exploration:
        batch = space.images(space.mixed(request.num_images or MANY))
        z, labels = space.encode(batch)
        points, axes, share = plane(z.cpu().double())
        classes = torch.unique(labels).tolist() if space.data.num_classes else []
        groups = labels.cpu() if classes else torch.zeros(len(points), dtype=torch.int64)
        picture = plot(points, groups, classes, axes)
        found = {"axes": axes, "variance_shown": rounded([share])[0], "images": len(points), "colours": legend(classes)}
        means = {str(label): rounded(points[groups == label].mean(0)) for label in classes}
        return Exploration(
            picture, found | {"means": means}, f"{len(points)} images, {axes[0]} and {axes[1]} ({share:.0%} of the variance)"
        )


def plane(z: Tensor) -> tuple[Tensor, list[str], float]:
    """Points ``(N, 2)``, the names of the axes, and the share of the variance that they show."""
    if z.shape[1] == 2:
        return z, ["z0", "z1"], 1.0
    centred = z - z.mean(0)
    variances, directions = torch.linalg.eigh(centred.T @ centred)
    first = directions[:, -2:].flip(1)
    first = first * first.gather(0, first.abs().argmax(0, keepdim=True)).sign()  # eigenvectors have no sign of their own
    share = variances[-2:].sum() / variances.sum().clamp(min=torch.finfo(z.dtype).tiny)
    return centred @ first, ["principal component 1", "principal component 2"], share.item()


def colour_of(label: int) -> tuple[int, int, int]:
    """Ten well-known colours, then hues a golden section apart."""
    if label < len(COLOURS):
        return COLOURS[label]
    red, green, blue = colorsys.hsv_to_rgb(label * 0.618034 % 1, 0.55 + 0.4 * (label % 2), 0.85 - 0.25 * (label % 3 == 0))
    return round(255 * red), round(255 * green), round(255 * blue)


def legend(classes: list[int]) -> dict[str, str]:
    """Class to colour, as ``#rrggbb``."""
    return {str(label): "#{:02x}{:02x}{:02x}".format(*colour_of(label)) for label in classes}


def plot(points: Tensor, groups: Tensor, classes: list[int], axes: list[str]) -> Tensor:
    """The picture: a frame with its range at the axes' ends, a dot for each point, a colour for each class."""
    picture = blank(SIZE + 2 * MARGIN, SIZE + 2 * MARGIN + (LEGEND if classes else 0))
    low, high = points.min(0).values, points.max(0).values
    frame = blank(SIZE + 2, SIZE + 2, 160)
    frame[:, 1:-1, 1:-1] = 255
    paste(picture, frame, MARGIN - 1, MARGIN - 1)
    inner = SIZE - 4 * DOT
    cells = ((points - low) / (high - low).clamp(min=1e-12) * (inner - 1)).round().long() + 2 * DOT
    for (column, row), group in zip(cells.tolist(), groups.tolist(), strict=True):
        top, left = MARGIN + SIZE - 1 - row - DOT, MARGIN + column - DOT
        picture[:, top : top + 2 * DOT + 1, left : left + 2 * DOT + 1] = ink(colour_of(group))
    _axes(picture, axes, low.tolist(), high.tolist())
    for number, label in enumerate(classes):
        top = MARGIN + number * (LINE + 4)
        if top + LINE < picture.shape[1]:
            picture[:, top : top + LINE, MARGIN + SIZE + 16 : MARGIN + SIZE + 30] = ink(colour_of(label))
            paste(picture, words(str(label)), top, MARGIN + SIZE + 36)
    return picture


def _axes(picture: Tensor, axes: list[str], low: list[float], high: list[float]) -> None:
    bottom = MARGIN + SIZE + 4
    name, last = words(axes[0]), words(f"{high[0]:.3g}")
    paste(picture, words(f"{low[0]:.3g}"), bottom, MARGIN)
    paste(picture, name, bottom, MARGIN + (SIZE - name.shape[2]) // 2)
    paste(picture, last, bottom, MARGIN + SIZE - last.shape[2])
    paste(picture, words(axes[1]), MARGIN - LINE - 4, MARGIN)
    for value, top in ((high[1], MARGIN), (low[1], MARGIN + SIZE - LINE)):
        text = words(f"{value:.3g}")
        paste(picture, text, top, max(0, MARGIN - 4 - text.shape[2]))


def ink(colour: tuple[int, int, int]) -> Tensor:
    """A colour to fill with."""
    return torch.tensor(colour, dtype=torch.uint8).view(3, 1, 1)
