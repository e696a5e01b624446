"""Interpolation: what lies between two images, or between two samples."""

from __future__ import annotations

import torch
from torch import Tensor

from lightning_gen.analysis.exploration import Exploration, Explorer, Request, check_images, rounded, rows_of, starting_points
from lightning_gen.analysis.latent_space import Codes, LatentSpace
from lightning_gen.analysis.sheets import sheet
from lightning_gen.errors import UserError
from lightning_gen.images import to_unit

PAIRS, STEPS = 6, 9


class Interpolation(Explorer):
    """Paths between the latents of two images, which stand at both ends, or between two drawn latents where there is no encoder; so many
    pairs, or the pairs that somebody names.

    Along great circles where latents are standard normal (White, 2016, arXiv:1609.04468), straight elsewhere. A conditional model decodes
    each half with the label of its end.
    """

    name = "interpolation"
    options = ("num_images", "steps", "images")

    def obstacle(self, space: LatentSpace, request: Request) -> str | None:
        if request.images is not None and request.num_images is not None:
            return "paths are chosen by images or by their number num_images; expected one of them, got both"
        return space.cannot_decode()

    def check(self, space: LatentSpace, request: Request) -> None:
        if request.images is not None and len(request.images) % 2:
            raise UserError(f"images: expected the ends of paths, two by two, got {len(request.images)}")
        check_images(space, request)

    def draw(self, space: LatentSpace, request: Request) -> Exploration:
        ends, numbers = pairs(space, request)
        count, steps = len(numbers) // 2, request.steps or STEPS
        t = torch.linspace(0, 1, steps, device=ends.z.device)
        between = slerp if space.is_standard_normal else lerp
        z = between(ends.z[0::2].unsqueeze(1), ends.z[1::2].unsqueeze(1), t.view(-1, 1))
        images = space.decode(Codes(z.flatten(0, 1), nearer_labels(ends.labels, t)))
        rows, columns = rows_of(images, count), [f"{step:.2g}" for step in t.tolist()]
        if space.has_encoder:
            originals = space.images(numbers)[0]
            rows = [torch.cat([originals[2 * i : 2 * i + 1], row, originals[2 * i + 1 : 2 * i + 2]]) for i, row in enumerate(rows)]
            columns = ["image", *columns, "image"]
        kind, way = "images" if space.has_encoder else "samples", "spherical" if between is slerp else "linear"
        named = [f"{numbers[2 * i]} - {numbers[2 * i + 1]}" for i in range(count)]
        lengths = rounded((to_unit(images).unflatten(0, (count, steps)).diff(dim=1)).square().flatten(2).mean(2))
        found = {"path": way, kind: [numbers[2 * i : 2 * i + 2] for i in range(count)], "t": rounded(t), "mse_of_steps": lengths}
        return Exploration(sheet(rows, named, columns), found, f"{count} {way} paths between {kind}")


def pairs(space: LatentSpace, request: Request) -> tuple[Codes, list[int]]:
    """The latents of the ends of all paths, two by two, and their numbers."""
    if request.images is not None:
        return starting_points(space, request, 0)
    count = request.num_images or PAIRS
    numbers = same_label_pairs(space, count) if space.model.conditional else list(range(2 * count))
    if space.has_encoder:
        numbers = [number for number in numbers if number < space.data.split_size(space.split) // 2 * 2]
    return starting_points(space, Request(images=tuple(numbers)), 0)


def same_label_pairs(space: LatentSpace, count: int) -> list[int]:
    """Numbers of images, or of samples, two by two of one label, so that only what the label does not say changes on the way."""
    of_samples = not space.has_encoder
    labels = space.labels_of_samples(range(64 * count)).cpu() if of_samples else torch.from_numpy(space.data.arrays(space.split)[1])
    groups = torch.unique(labels, dim=0, return_inverse=True)[1]
    members = [(groups == group).nonzero().flatten()[:2].tolist() for group in range(int(groups.max()) + 1)]
    return [number for pair in [pair for pair in members if len(pair) == 2][:count] for number in pair]


def nearer_labels(labels: Tensor, t: Tensor) -> Tensor:
    """The label of each point of paths between ends ``(2 P, ...)``: that of the nearer end, ``(P * T, ...)``."""
    ends = labels.unflatten(0, (-1, 2))
    return ends[:, (t > 0.5).long()].flatten(0, 1)


def lerp(start: Tensor, end: Tensor, t: Tensor) -> Tensor:
    r"""The straight path :math:`(1 - t) a + t b`."""
    return (1 - t) * start + t * end


def slerp(start: Tensor, end: Tensor, t: Tensor) -> Tensor:
    r"""Along the great circle: the direction turns at constant speed, the norm changes linearly.

    .. math:: \big((1 - t) |a| + t |b|\big) \frac{\sin((1 - t) \omega)\, a/|a| + \sin(t \omega)\, b/|b|}{\sin \omega},
        \qquad \cos \omega = \frac{a \cdot b}{|a| |b|}

    Vectors that are parallel, opposite or zero have no such circle, and are joined by the straight path.
    """
    norms = start.norm(dim=-1, keepdim=True), end.norm(dim=-1, keepdim=True)
    a, b = (x / norm.clamp(min=torch.finfo(x.dtype).tiny) for x, norm in zip((start, end), norms, strict=True))
    # By the half angle: the arc cosine loses half of its digits where vectors are nearly parallel.
    omega = 2 * torch.atan2((a - b).norm(dim=-1, keepdim=True), (a + b).norm(dim=-1, keepdim=True))
    sine = omega.sin()
    direction = (((1 - t) * omega).sin() * a + (t * omega).sin() * b) / torch.where(sine == 0, 1, sine)
    straight = (sine.abs() < 1e-4) | (norms[0] == 0) | (norms[1] == 0)
    return torch.where(straight, lerp(start, end, t), lerp(*norms, t) * direction)
