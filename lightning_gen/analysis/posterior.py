"""The posterior at a glance: the report on its rate, collapse and gaps, and the KL of each dimension as bars."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from lightning_gen.analysis.exploration import Exploration, Explorer, Request
from lightning_gen.analysis.finite import require_finite
from lightning_gen.analysis.latent_space import LatentSpace
from lightning_gen.analysis.posterior_report import PosteriorReport, has_posterior, report_within
from lightning_gen.analysis.sheets import GAP, INK, blank, paste, stacked, words

IMAGES, SAMPLES = 1000, 64
BAR, HEIGHT = 8, 160
"""Width of a bar and height of the highest one, in pixels."""


class Posterior(Explorer):
    """The :class:`PosteriorReport` of the first images of the split, 1000 by default."""

    name = "posterior"
    options = ("num_images",)

    def obstacle(self, space: LatentSpace, request: Request) -> str | None:
        if not has_posterior(space.model):
            return f"{space.name} has no posterior"
        count = min(request.num_images or IMAGES, space.data.split_size(space.split))
        return None if count > 1 else f"a dimension is active by its variance over images; expected at least 2 of them, got {count}"

    def draw(self, space: LatentSpace, request: Request) -> Exploration:
        report = report_within(space.model, space.data, space.split, request.num_images or IMAGES, SAMPLES)
        require_finite(f"{space.name}: some parts of its bound", torch.tensor([*report.scalars().values(), *report.kl_per_dimension]))
        lines = [line(report), *([] if report.kl_per_dimension else ["the KL has no closed form that splits into dimensions"])]
        chart = [bars(sorted(report.kl_per_dimension, reverse=True))] if report.kl_per_dimension else []
        return Exploration(stacked([*(margin(words(text)) for text in lines), *chart]), vars(report), line(report))


def line(report: PosteriorReport) -> str:
    """The report in one line."""
    split = ""
    if report.mutual_information is not None:
        most = math.log(report.images)  # what so many images can show
        split = f" = information {report.mutual_information:.4g} (at most {most:.4g}) + KL {report.aggregate_kl:.4g}"
    return (
        f"ELBO {report.elbo:.5g} nats, distortion {report.distortion:.4g}, rate {report.rate:.4g}{split}, "
        f"gap {report.variational_gap:.3g} (k={report.bound_samples}), {report.active_units} of {report.latent_dim} dimensions active"
    )


def margin(picture: Tensor) -> Tensor:
    """A picture with white around it."""
    framed = blank(picture.shape[1] + GAP, picture.shape[2] + 2 * GAP)
    paste(framed, picture, GAP, GAP)
    return framed


def bars(values: Sequence[float]) -> Tensor:
    """Bars on one base line, the highest as high as the picture, with its value: uint8 ``(3, H, W)``."""
    top = max(max(values), 1e-12)
    picture = blank(HEIGHT, (BAR + 1) * len(values))
    for number, value in enumerate(values):
        height = round(HEIGHT * value / top)
        picture[:, HEIGHT - height :, number * (BAR + 1) : number * (BAR + 1) + BAR] = INK
    ground = torch.cat([picture, blank(1, picture.shape[2], INK)], dim=1)
    return stacked([margin(words(f"KL per dimension in nats, sorted; the first is {top:.3g}")), margin(ground)])
