"""Density: what a model says of the line or of the plane, beside the data."""

from __future__ import annotations

import torch
from torch import Tensor

from lightning_gen.analysis.exploration import Exploration, Explorer, Request, rounded
from lightning_gen.analysis.finite import require_finite
from lightning_gen.analysis.latent_space import LatentSpace
from lightning_gen.analysis.plots import DATA_COLOUR, MODEL_COLOUR, Box, bars, beside, blank, box_of, filled, heat, line, panel, scale_bar
from lightning_gen.evaluation.judge import Progress
from lightning_gen.noise import IndexedNoise, stable_hash

SIZE = 384
"""Height and width of a plot, in pixels."""
SIDE = {1: 2000, 2: 128}
"""Points of the grid along each axis, by the number of dimensions."""
BINS = 64
"""Of the data's histogram along each axis."""
MOST_DATA, MOST_SCORED = 50_000, 10_000
AT_ONCE = 4096
"""Points whose density is computed together."""
DRAWS = 16
"""Of the noise of a model that only has a bound on its density."""


class Density(Explorer):
    """The density of vectors of one or two numbers on a grid over the training data's box, beside their histogram on the same scale.

    Of a model that has a bound only, the bound by 16 draws. Reported are the mass inside the box (1 if the density is one and nothing of it
    lies outside) and the mean of the negative logarithm over the split, in nats.
    """

    name = "density"
    options = ("steps",)

    def obstacle(self, space: LatentSpace, request: Request) -> str | None:
        if "likelihood" not in space.capabilities:
            return f"{space.name} has no likelihood"
        if space.makes_images:
            return f"{space.name} makes images; a density is drawn of vectors of 1 or 2 numbers"
        if space.model.data_shape[0] > 2:
            return f"{space.name} makes vectors of {space.model.data_shape[0]} numbers; a density is drawn of 1 or 2"
        return f"{space.name} is conditional, and has one density for each label" if space.model.conditional else None

    def draw(self, space: LatentSpace, request: Request) -> Exploration:
        (dimensions,) = space.model.data_shape
        data = space.images(range(min(MOST_DATA, space.data.split_size("train"))), "train")[0].cpu().double()
        low, high = box_of(data)
        side = request.steps or SIDE[dimensions]
        draws = 1 if space.model.likelihood_kind(DRAWS) == "exact" else DRAWS
        density = log_density(space, midpoints(low, high, side), draws, request.progress).exp()
        scored = range(min(MOST_SCORED, space.data.split_size(space.split)))
        nats = -log_density(space, space.images(scored)[0], draws, request.progress).mean().item()
        mass = density.mean().item() * torch.tensor([b - a for a, b in zip(low, high, strict=True)]).prod().item()
        kind = space.model.likelihood_kind(draws) + (f" of {draws} draws" if draws > 1 else "")
        named = f"data ({len(data)} of train)", f"{space.name} ({kind})"
        draw = on_the_line if dimensions == 1 else in_the_plane
        picture, top = draw(data, density, Box(low, high), named)
        found = {"density": kind, "mass": mass, "nats": nats, "scored": len(scored), "box": [low, high], "steps": side, "top": top}
        rounded_found = {key: rounded([value])[0] if isinstance(value, float) else value for key, value in found.items()}
        return Exploration(picture, rounded_found, f"mass {mass:.4f} in the box of the data, {nats:.4g} nats ({kind})")


def midpoints(low: tuple[float, ...], high: tuple[float, ...], side: int) -> Tensor:
    """The middles of the cells of a box, ``(side^D, D)`` in float64: the first coordinate grows fastest, the second falls."""
    across = (torch.arange(side, dtype=torch.float64) + 0.5) / side
    axes = [a + (b - a) * across for a, b in zip(low, high, strict=True)]
    if len(axes) == 1:
        return axes[0].unsqueeze(1)
    return torch.stack([axes[0].repeat(side), axes[1].flip(0).repeat_interleave(side)], dim=1)


def log_density(space: LatentSpace, points: Tensor, draws: int, progress: Progress) -> Tensor:
    """The model's log-density (or bound) of points, in nats, float64.

    Raises:
        UserError: some are NaN.
    """
    values = []
    for start in range(0, len(points), AT_ONCE):
        part = points[start : start + AT_ONCE].to(space.model.device, torch.get_default_dtype())
        noise = IndexedNoise(stable_hash(space.seed, "density"), range(start, start + len(part)), space.model.device)
        values.append(space.model.log_prob(part, noise=noise, num_samples=draws).cpu().double())
        progress("density", min(start + AT_ONCE, len(points)), len(points))
    found = torch.cat(values)
    require_finite(f"{space.name}: some of its densities", found.clamp(min=-1e300))  # zero is a density
    return found


def in_the_plane(data: Tensor, density: Tensor, box: Box, named: tuple[str, str]) -> tuple[Tensor, float]:
    """Two heat maps with one scale, and the density that is brightest."""
    side = round(len(density) ** 0.5)
    cell = torch.tensor([(b - a) / BINS for a, b in zip(*box, strict=True)], dtype=torch.float64)
    column, up = ((data - torch.tensor(box.low)) / cell).long().clamp(0, BINS - 1).unbind(1)
    counts = torch.bincount((BINS - 1 - up) * BINS + column, minlength=BINS**2).view(BINS, BINS)
    histogram = counts / (len(data) * cell.prod())
    top = max(almost_highest(histogram.flatten()), almost_highest(density))
    plots = heat(histogram, top, SIZE), heat(density.view(side, side), top, SIZE)
    return beside([*(panel(plot, name, box) for plot, name in zip(plots, named, strict=True)), scale_bar(top, SIZE)]), top


def almost_highest(density: Tensor, share: float = 0.99) -> float:
    """The density that is not exceeded where this share of the mass lies: a few peaks must not leave all else in the dark."""
    values = density.sort().values
    mass = values.cumsum(0)
    return values[torch.searchsorted(mass, share * mass[-1]).clamp(max=len(values) - 1)].item()


def on_the_line(data: Tensor, density: Tensor, box: Box, named: tuple[str, str]) -> tuple[Tensor, float]:
    """A curve over a histogram, and the greatest density."""
    width = 3 * SIZE // 2
    columns, heights = bars(data[:, 0], box, width, BINS)
    curve = density[torch.arange(width) * len(density) // width]
    top = max(heights.max().item(), density.max().item())
    picture = blank(SIZE, width)
    filled(picture, columns, 1.05 * top, DATA_COLOUR)
    line(picture, curve, 1.05 * top, MODEL_COLOUR)
    whole = Box((box.low[0], 0.0), (box.high[0], 1.05 * top))
    return panel(picture, f"bars: {named[0]}; line: {named[1]}", whole), top
