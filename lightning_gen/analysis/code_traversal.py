"""Code traversal: what each code of an InfoGAN (Chen et al., 2016, arXiv:1606.03657, Figure 2) does to the image."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from lightning_gen.analysis.exploration import Exploration, Explorer, Request, rows_of
from lightning_gen.analysis.latent_space import Codes, LatentSpace
from lightning_gen.analysis.sheets import sheet, stacked
from lightning_gen.models.capabilities import HasRecognisedCodes

ROWS, STEPS = 5, 10
REACH = 1.0
"""Continuous codes are drawn from -1 to 1."""


class CodeTraversal(Explorer):
    """For each code a sheet whose columns are its values; a row is one sample, of which nothing else changes.

    Reported is how often the recognition network finds a drawn code again: the share of right categories, the root mean squared error of
    continuous codes (0.577 without knowing anything).
    """

    name = "code_traversal"
    options = ("num_images", "steps")

    def obstacle(self, space: LatentSpace, request: Request) -> str | None:
        if not isinstance(space.model, HasRecognisedCodes):
            return f"{space.name} has no codes that it recognises"
        return None if space.makes_images else f"{space.name} makes vectors, not images"

    def draw(self, space: LatentSpace, request: Request) -> Exploration:
        starts = space.draw(range(request.num_images or ROWS))
        names = [f"sample {number}" for number in range(len(starts.z))]
        pictures, place = [], space.latent_dim - sum(space.model.categories) - space.model.num_continuous
        for number, count in enumerate(space.model.categories):
            values = one_hot(torch.arange(count, device=starts.z.device), count).to(starts.z)
            images = varied(space, starts, slice(place, place + count), values)
            pictures.append(sheet(images, names, [str(value) for value in range(count)], f"categorical code {number}"))
            place += count
        line = torch.linspace(-REACH, REACH, request.steps or STEPS, device=starts.z.device, dtype=starts.z.dtype)[:, None]
        for number in range(space.model.num_continuous):
            images = varied(space, starts, slice(place, place + 1), line)
            ends = ["-1", *[""] * (len(line) - 2), "1"]
            pictures.append(sheet(images, names, ends, f"continuous code {number}"))
            place += 1
        many = space.draw(range(1000))
        found = space.model.recovered(many.z, space.given(many.labels))
        summary = f"{len(pictures)} codes of {len(names)} samples; found again: " + ", ".join(f"{k} {v:.3f}" for k, v in found.items())
        return Exploration(stacked(pictures), {"samples": len(names), "recovered": found}, summary)


def varied(space: LatentSpace, starts: Codes, part: slice, values: Tensor) -> list[Tensor]:
    """The images of each start with a part of its z set to each of the values ``(V, width)``: one row ``(V, C, H, W)`` a start."""
    z = starts.z.repeat_interleave(len(values), 0)
    z[:, part] = values.repeat(len(starts.z), 1)
    labels = starts.labels.repeat_interleave(len(values), 0)
    return rows_of(space.decode(Codes(z, labels)), len(starts.z))
