"""The manifold of a two-dimensional latent space (Kingma & Welling, 2013, arXiv:1312.6114, Appendix A)."""

from __future__ import annotations

import torch
from torch import Tensor

from lightning_gen.analysis.exploration import Exploration, Explorer, Request, rounded
from lightning_gen.analysis.latent_space import Codes, LatentSpace
from lightning_gen.analysis.sheets import BETWEEN, blank, paste, sheet
from lightning_gen.images import make_grid

SIDE, SIDE_OF_A_CLASS = 20, 8
LARGEST = 10
"""Classes that are shown."""


class Manifold(Explorer):
    """A grid of decoded quantiles of each dimension, so that the cells are equally probable; z_0 grows to the right, z_1 upwards.

    Quantiles of the standard normal by its inverse distribution function, of any other prior (or of the encoded training images, where
    there is none) as they are found. A conditional model gets a grid for each class.
    """

    name = "manifold"
    options = ("steps",)

    def obstacle(self, space: LatentSpace, request: Request) -> str | None:
        if obstacle := space.cannot_decode():
            return obstacle
        return None if space.latent_dim == 2 else f"{space.name} has {space.latent_dim} latent dimensions; a manifold is a picture of 2"

    def draw(self, space: LatentSpace, request: Request) -> Exploration:
        classes = space.model.trained_classes[:LARGEST] if space.model.conditional else []
        side = request.steps or (SIDE_OF_A_CLASS if classes else SIDE)
        quantiles = grid_quantiles(space, side)
        z = torch.stack([quantiles[0].repeat(side), quantiles[1].flip(0).repeat_interleave(side)], dim=1)
        labels = [torch.full((len(z),), label, device=z.device) for label in classes] or [space.labels_of_samples([0] * len(z))]
        grids = [make_grid(space.decode(Codes(z, label)), num_columns=side, padding=BETWEEN) for label in labels]
        found = {"quantiles": rounded(quantiles), "scale": space.scale.source, "classes": classes}
        summary = f"{side} x {side} quantiles ({space.scale.source})" + (f" of {len(classes)} classes" if classes else "")
        return Exploration(framed(grids, classes), found, summary)


def grid_quantiles(space: LatentSpace, side: int) -> Tensor:
    """The middles of ``side`` equally probable intervals of each dimension, growing: ``(2, side)``."""
    probabilities = (torch.arange(side, device=space.model.device) + 0.5) / side
    if space.is_standard_normal:
        return torch.special.ndtri(probabilities).expand(2, -1)
    return torch.quantile(space.population[0], probabilities, dim=0).T


def framed(grids: list[Tensor], classes: list[int]) -> Tensor:
    """One grid with a margin, or a row of named ones for each five classes."""
    if classes:
        starts = range(0, len(grids), 5)
        names = [" ".join(map(str, classes[start : start + 5])) for start in starts]
        return sheet([torch.stack(grids[start : start + 5]) for start in starts], names)
    height, width = grids[0].shape[1:]
    picture = blank(height + 12, width + 12)
    paste(picture, grids[0], 6, 6)
    return picture
