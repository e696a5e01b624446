"""Temperature: the same noise, scaled down, decoded."""

from __future__ import annotations

import torch
from torch import Tensor

from lightning_gen.analysis.exploration import Exploration, Explorer, Request, rounded
from lightning_gen.analysis.latent_space import Codes, LatentSpace
from lightning_gen.analysis.plots import DATA_COLOUR, MODEL_COLOUR, bars, beside, blank, box_of, dots, filled, line, panel
from lightning_gen.analysis.sheets import sheet
from lightning_gen.images import to_unit

TEMPERATURES = (0.5, 0.7, 0.8, 0.9, 1.0)
NUM_IMAGES, NUM_POINTS = 10, 3000
SIZE = 240
"""Height and width of one plot of vectors, in pixels."""


class Temperature(Explorer):
    """Samples of the same noise at several temperatures, :math:`z = T \\epsilon`, the model itself (T = 1) last (Glow, arXiv:1807.03039).

    A row of images for each; a plot of vectors for each, over the data.
    """

    name = "temperature"
    options = ("num_images",)

    def obstacle(self, space: LatentSpace, request: Request) -> str | None:
        if not space.has_prior:
            return f"{space.name} has no prior to draw noise from"
        if not space.is_standard_normal:
            return f"{space.name} does not draw its latents from a standard normal, which a temperature scales"
        return None

    def draw(self, space: LatentSpace, request: Request) -> Exploration:
        count = request.num_images or (NUM_IMAGES if space.makes_images else NUM_POINTS)
        codes = space.draw(range(count))
        samples = [space.decode(Codes(temperature * codes.z, codes.labels)).cpu() for temperature in TEMPERATURES]
        named = [f"T = {temperature}" for temperature in TEMPERATURES]
        picture = sheet(samples, named) if space.makes_images else plotted(space, samples, named)
        spread = [(to_unit(made) if space.makes_images else made).double().std(dim=0, correction=0).mean().item() for made in samples]
        found = {"temperatures": [*TEMPERATURES], "samples": count, "mean_standard_deviation": rounded(spread)}
        return Exploration(picture, found, f"{count} samples at {len(TEMPERATURES)} temperatures")


def plotted(space: LatentSpace, samples: list[Tensor], named: list[str]) -> Tensor:
    """A plot of the vectors at each temperature, of their first two numbers, over as many of the data."""
    count = min(len(samples[0]), space.data.split_size(space.split))
    data = space.images(range(count))[0].cpu().double()[:, :2]
    box = box_of(data)
    if data.shape[1] == 2:
        inks = torch.tensor(DATA_COLOUR), torch.tensor(MODEL_COLOUR)
        plots = [dots([(data, inks[0]), (made[:, :2], inks[1])], box, SIZE) for made in samples]
        return beside([panel(plot, name, box) for plot, name in zip(plots, named, strict=True)], most=3)
    of_data = bars(data[:, 0], box, SIZE)
    of_samples = [bars(made[:, 0], box, SIZE)[0] for made in samples]
    top = max(float(heights.max()) for heights in [of_data[0], *of_samples])
    pictures = [blank(SIZE, SIZE) for _ in samples]
    for picture, heights in zip(pictures, of_samples, strict=True):
        filled(picture, of_data[0], top, DATA_COLOUR)
        line(picture, heights, top, MODEL_COLOUR)
    whole = box._replace(low=(box.low[0], 0.0), high=(box.high[0], top))
    return beside([panel(picture, name, whole) for picture, name in zip(pictures, named, strict=True)], most=3)
