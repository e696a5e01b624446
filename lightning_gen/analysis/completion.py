"""Completion: what a model makes of images whose lower half it does not see."""

from __future__ import annotations

import torch
from torch import Tensor

from lightning_gen.analysis.exploration import Exploration, Explorer, Request
from lightning_gen.analysis.latent_space import LatentSpace, require_numbers, slices
from lightning_gen.analysis.sheets import GREY, sheet
from lightning_gen.images import to_unit
from lightning_gen.noise import IndexedNoise, NamedNoise, stable_hash

NUM_IMAGES, NUM_COMPLETIONS = 8, 6


class Completion(Explorer):
    """The first images of the split (or those asked for): whole, as far as the model sees them, and completed several times.

    The lower half is hidden and drawn again, place by place (PixelRNN, arXiv:1601.06759): in raster order from the distribution given the
    upper half; in another order a place knows of what is visible before it only, and the numbers say which order it is.
    """

    name = "completion"
    options = ("num_images", "steps", "images")

    def obstacle(self, space: LatentSpace, request: Request) -> str | None:
        return None if "completion" in space.capabilities else f"{space.name} does not complete images"

    def check(self, space: LatentSpace, request: Request) -> None:
        require_numbers("images", request.images or (), space.data.split_size(space.split))

    def draw(self, space: LatentSpace, request: Request) -> Exploration:
        numbers = (
            [*request.images] if request.images else [*range(min(request.num_images or NUM_IMAGES, space.data.split_size(space.split)))]
        )
        images, labels = space.images(numbers)
        hidden = lower_half(images)
        completions = [complete(space, images, labels, hidden, numbers, draw) for draw in range(request.steps or NUM_COMPLETIONS)]
        rows = torch.stack([images, images.masked_fill(hidden, GREY), *completions], dim=1)
        squared = torch.stack([(to_unit(made) - to_unit(images)).square() for made in completions])
        mse = squared[:, hidden.expand_as(images)].mean().item()
        columns = ["image", "seen", *[""] * len(completions)]
        picture = sheet([*rows], [str(number) for number in numbers], columns)
        found = {
            "images": numbers,
            "completions": len(completions),
            "hidden": "lower half",
            **space.model.answer_options(),
            "mse_of_hidden_pixels": float(f"{mse:.6g}"),
        }
        return Exploration(
            picture, found, f"{len(completions)} completions of {len(numbers)} images, mean squared error {mse:.4g} where hidden"
        )


def lower_half(images: Tensor) -> Tensor:
    """True in the lower half of images ``(B, C, H, W)``: ``(H, 1)``."""
    height = images.shape[2]
    return (torch.arange(height, device=images.device) >= height // 2).view(-1, 1)


def complete(space: LatentSpace, images: Tensor, labels: Tensor, hidden: Tensor, numbers: list[int], draw: int) -> Tensor:
    """One completion of each image, by noise that belongs to the image's number."""
    parts = []
    for block in slices(len(images)):
        noise = NamedNoise(IndexedNoise(stable_hash(space.seed, "completion"), numbers[block], images.device), f"draw {draw}")
        parts.append(space.model.complete(images[block], hidden, noise, labels=space.given(labels[block])))
    return torch.cat(parts)
