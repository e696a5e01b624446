"""Traversal: one latent dimension changes at a time, the dimensions that matter most first."""

from __future__ import annotations

import torch
from torch import Tensor

from lightning_gen.analysis.exploration import Exploration, Explorer, Request, check_images, rounded, rows_of, starting_points
from lightning_gen.analysis.latent_space import MANY, Codes, LatentSpace, slices
from lightning_gen.analysis.sheets import sheet, stacked
from lightning_gen.errors import UserError
from lightning_gen.evaluation.judge import Progress
from lightning_gen.images import to_unit
from lightning_gen.noise import blocks

REACH = 3.0
"""Standard deviations to either side."""
ROWS, STEPS = 10, 11

KL = "KL"


class Traversal(Explorer):
    """Each row moves one dimension from -3 to +3 standard deviations of the prior (of the encoded training images where there is none),
    within the range of its values, by way of the starting point in the middle column; the other dimensions stay.

    It starts from the latent of an image, or from a drawn one where there is no encoder.
    """

    name = "traversal"
    options = ("num_images", "steps", "images")

    def obstacle(self, space: LatentSpace, request: Request) -> str | None:
        return space.cannot_decode()

    def check(self, space: LatentSpace, request: Request) -> None:
        if (request.steps or STEPS) % 2 == 0:
            raise UserError(f"steps: expected an odd number, since the middle of a traversal is its starting point, got {request.steps}")
        check_images(space, request)

    def draw(self, space: LatentSpace, request: Request) -> Exploration:
        steps = request.steps or STEPS
        starts, numbers = starting_points(space, request, 1)
        importance, measure = ranking(space, starts, request.progress)
        order = importance.argsort(descending=True, stable=True)[: request.num_images or ROWS].tolist()
        kind = "image" if space.has_encoder else "sample"
        names = [f"{space.name_of(d)}   {short(measure)} {importance[d]:.3g}" for d in order]
        pictures, values = [], []
        for row, number in enumerate(numbers):
            z, label = starts.z[row], starts.labels[row]
            paths = torch.stack([path(space, z, d, steps) for d in order])
            images = space.decode(Codes(paths.flatten(0, 1), label.expand(len(order) * steps, *label.shape)))
            pictures.append(sheet(rows_of(images, len(order)), names, self.columns(space, kind, steps), f"{kind} {number}"))
            values.append({kind: number, "values": rounded(torch.stack([moved[:, d] for moved, d in zip(paths, order, strict=True)]))})
        numbers_of = {"dimensions": order, "sorted_by": measure, "importance": rounded(importance), "scale": space.scale.source}
        summary = f"{len(order)} of {len(importance)} dimensions, sorted by {measure} ({space.scale.source})"
        return Exploration(stacked(pictures), {**numbers_of, "traversals": values}, summary)

    def columns(self, space: LatentSpace, kind: str, steps: int) -> list[str]:
        """The ends and the middle have names."""
        low, high = ("-3 sd", "+3 sd") if space.is_standard_normal else ("low", "high")
        free = [""] * (steps // 2 - 1)
        return [low, *free, kind, *free, high]


def path(space: LatentSpace, z: Tensor, dimension: int, steps: int) -> Tensor:
    """Latents ``(steps, D)`` that differ from z ``(D,)`` in one dimension only; the middle one is z."""
    scale, own = space.scale, z[dimension]
    reach = REACH * scale.std[dimension]
    low = torch.minimum(own, torch.maximum(scale.mean[dimension] - reach, scale.low[dimension]))
    high = torch.maximum(own, torch.minimum(scale.mean[dimension] + reach, scale.high[dimension]))
    share = torch.linspace(0, 1, steps // 2 + 1, device=z.device)
    moved = z.repeat(steps, 1)
    moved[: steps // 2, dimension] = (low + share * (own - low))[:-1]
    moved[steps // 2 + 1 :, dimension] = (own + share * (high - own))[1:]
    return moved


def ranking(space: LatentSpace, starts: Codes, progress: Progress) -> tuple[Tensor, str]:
    """How much each dimension matters ``(D,)``, and what that is: its KL, else what a model lets one see of it.

    A flow's latents all have about the same variance, so they say nothing by it.
    """
    kl = kl_per_dimension(space)
    if kl is not None:
        return kl, KL
    if space.has_encoder and not space.is_invertible:
        return space.encoded.z.var(0), "variance of the encoded images"
    return influence(space, starts, progress), "mean squared change of the image from end to end"


def short(measure: str) -> str:
    """The first word of a measure."""
    return {"variance": "var", "mean": "change"}.get(measure.partition(" ")[0], measure)


def kl_per_dimension(space: LatentSpace) -> Tensor | None:
    """KL(q(z_d|x) || p(z_d)) in nats, averaged over up to 2048 images, ``(D,)``; None where there is no such split of the KL."""
    if "posterior" not in space.capabilities:
        return None
    images, labels = space.images(space.mixed(MANY))
    try:
        terms = [
            space.model.posterior(images[block], space.given(labels[block])).kl_terms(space.model.prior(space.given(labels[block])))
            for block in slices(len(images))
        ]
    except NotImplementedError:
        return None
    return torch.cat(terms).mean(0) if terms[0].shape[-1] == space.latent_dim else None


def influence(space: LatentSpace, starts: Codes, progress: Progress) -> Tensor:
    """How far the ends of a dimension's path lie apart, in mean squared difference of pixels in [0, 1], ``(D,)``."""
    z, label = starts.z[0], starts.labels[:1]
    found = []
    for block in blocks(space.latent_dim):
        ends = torch.cat([path(space, z, d, 3)[[0, 2]] for d in block])
        images = to_unit(space.decode(Codes(ends, label.expand(len(ends), *label.shape[1:])))).unflatten(0, (-1, 2))
        found.append((images[:, 0] - images[:, 1]).square().flatten(1).mean(1))
        progress("dimensions", block.stop, space.latent_dim)
    return torch.cat(found)
