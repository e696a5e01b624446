"""Reconstruction: images beside what a model keeps of them."""

from __future__ import annotations

import torch

from lightning_gen.analysis.exploration import Exploration, Explorer, Request
from lightning_gen.analysis.finite import require_finite_weights
from lightning_gen.analysis.latent_space import MANY, LatentSpace, slices
from lightning_gen.images import make_grid, to_unit

SHOWN = 32


class Reconstruction(Explorer):
    """The first images of the split, each with its reconstruction to the right; measured over up to 2048 images."""

    name = "reconstruction"
    options = ("num_images",)

    def obstacle(self, space: LatentSpace, request: Request) -> str | None:
        if not space.makes_images:
            return f"{space.name} makes vectors, not images"
        return None if "reconstruction" in space.capabilities else f"{space.name} does not reconstruct"

    def draw(self, space: LatentSpace, request: Request) -> Exploration:
        require_finite_weights(space.model)
        size = space.data.split_size(space.split)
        shown = min(request.num_images or SHOWN, size)
        images, labels = space.images(range(max(shown, min(MANY, size))))
        parts = [space.model.reconstruct(images[block], labels=space.given(labels[block])) for block in slices(len(images))]
        reconstructions = torch.cat(parts)
        mse = (to_unit(images) - to_unit(reconstructions)).square().mean().item()
        pairs = torch.stack([images[:shown], reconstructions[:shown]], dim=1).flatten(0, 1)
        found = {"mse": float(f"{mse:.6g}"), "images": len(images), "unit": "mean squared difference of pixels in [0, 1]"}
        return Exploration(make_grid(pairs, num_columns=8), found, f"mean squared error {mse:.4g} over {len(images)} images")
