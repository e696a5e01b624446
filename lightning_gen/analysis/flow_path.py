"""The path from noise to data, step by step."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from lightning_gen.analysis.exploration import Exploration, Explorer, Request, rounded
from lightning_gen.analysis.latent_space import LatentSpace
from lightning_gen.analysis.plots import beside, box_of, dots, panel
from lightning_gen.analysis.sheets import sheet
from lightning_gen.images import from_unit, quantize

NUM_IMAGES, NUM_POINTS = 6, 3000
STEPS_OF_IMAGES, STEPS_OF_VECTORS = 9, 8
SIZE = 240
"""Height and width of one plot of vectors, in pixels."""
SHARE = 0.98
"""Share of a point's values that its range holds; those beyond are cut off."""


class FlowPath(Explorer):
    """What becomes of drawn noise on its way to data, from nothing done on the left to everything done on the right.

    Images in a row each: the samples in the last column; before it, where values are no pixels yet, every column from the lowest to the
    highest of the middle 98 % of its values, which stand above it as black and white (a pixel's are 0 and 1). Vectors as points, each in
    the colour of the place where it started, of two numbers at most (one number against the noise that it was).
    """

    name = "path"
    options = ("num_images", "steps")

    def obstacle(self, space: LatentSpace, request: Request) -> str | None:
        if "path" not in space.capabilities:
            return f"{space.name} has no path from noise to data that could be looked at"
        return None if space.has_prior else f"{space.name} has no prior to draw noise from"

    def draw(self, space: LatentSpace, request: Request) -> Exploration:
        count = request.num_images or (NUM_IMAGES if space.makes_images else NUM_POINTS)
        codes = space.draw(range(count))
        steps = request.steps or (STEPS_OF_IMAGES if space.makes_images else STEPS_OF_VECTORS)
        path, shares = space.model.latent_path(codes.z, steps, labels=space.given(codes.labels))
        named = [f"{share:.0%}" for share in shares]
        moved = path.diff(dim=0).square().flatten(1).mean(1).sqrt()
        found = {"samples": count, "shares": rounded(shares), "root_mean_square_steps": rounded(moved)}
        summary = f"{count} samples at {len(shares)} points of the way"
        if not space.makes_images:
            return Exploration(plotted(path.cpu().double(), codes.z.cpu().double(), named), found, summary)
        ranges = [*(range_of(values) for values in path[:-1]), (0.0, 1.0)]
        picture = in_ranges(path, ranges, named, space.model.num_bits)
        return Exploration(picture, found | {"ranges": rounded(torch.tensor(ranges))}, f"{summary}, each in a range of its own")


def range_of(values: Tensor) -> tuple[float, float]:
    """The ends of the middle share of some values."""
    ordered = values.double().flatten().sort().values
    outside = int((1 - SHARE) / 2 * len(ordered))
    return ordered[outside].item(), ordered[-1 - outside].item()


def in_ranges(path: Tensor, ranges: list[tuple[float, float]], named: list[str], num_bits: int) -> Tensor:
    """A row for each sample of the values ``(S, N, C, H, W)``, black and white being the ends of each step's range."""
    on_the_way = [from_unit((values - low) / max(high - low, 1e-30)) for values, (low, high) in zip(path[:-1], ranges, strict=False)]
    images = torch.stack([*on_the_way, quantize(path[-1], num_bits)])
    columns = [f"{name}\n{brief(high)}\n{brief(low)}" for name, (low, high) in zip(named, ranges, strict=True)]
    return sheet([*images.transpose(0, 1)], [str(number) for number in range(path.shape[1])], columns, corner="done\nwhite\nblack")


def brief(number: float) -> str:
    """A number in six letters at most."""
    return f"{number:.2g}" if abs(number) < 10 else f"{number:.0f}" if abs(number) < 10_000 else f"{number:.0e}"


def plotted(path: Tensor, z: Tensor, named: list[str]) -> Tensor:
    """A plot of the points ``(S, N, D)`` for each step, all with the same axes."""
    one = path.shape[2] == 1
    points = torch.cat([path, z.expand_as(path)], dim=2) if one else path[..., :2]
    box = box_of(points.flatten(0, 1), share=0.998)
    colours, axes = colours_of(z), ("value so far", "noise at the start") if one else ("first number", "second number")
    return beside([panel(dots([(part, colours)], box, SIZE), name, box, named=axes) for part, name in zip(points, named, strict=True)])


def colours_of(z: Tensor) -> Tensor:
    """A colour for each place ``(N, D)``: the hue by its direction (by its rank on the line), uint8 ``(N, 3)``."""
    rank = z[:, 0].argsort().argsort() / len(z)
    hue = torch.atan2(z[:, 1], z[:, 0]) if z.shape[1] > 1 else 1.6 * math.pi * rank  # not all the way round: the ends differ
    thirds = torch.tensor([0.0, 2.0, 4.0]) * math.pi / 3
    return (110 * (1 + torch.cos(hue[:, None] - thirds))).round().to(torch.uint8)
