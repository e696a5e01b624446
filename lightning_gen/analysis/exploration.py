"""What all explorations of a latent space share: what is asked for, what comes of it, and how one is made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lightning_gen.analysis.latent_space import Codes, LatentSpace, require_numbers
from lightning_gen.errors import UserError
from lightning_gen.evaluation.judge import Progress


def silent(stage: str, done: int, total: int) -> None:
    """Nobody is told of the progress."""


@dataclass(frozen=True)
class Request:
    """What somebody wants to see; None leaves the choice to the kind of exploration.

    Args:
        num_images: images, rows or pairs of a picture.
        steps: columns of a path, or side of a grid.
        images: numbers of images of the split: the starting points of traversals, or the ends of paths, two by two.
        labels: three groups of images by label, as :func:`~lightning_gen.analysis.groups.matches` reads them.
        samples: three groups of samples by number.
        progress: told of every block of long work.
    """

    num_images: int | None = None
    steps: int | None = None
    images: tuple[int, ...] | None = None
    labels: tuple[str, ...] | None = None
    samples: tuple[tuple[int, ...], ...] | None = None
    progress: Progress = silent

    def __post_init__(self) -> None:
        if self.num_images is not None and self.num_images < 1:
            raise UserError(f"num_images: expected at least 1, got {self.num_images}")
        if self.steps is not None and self.steps < 2:
            raise UserError(f"steps: expected at least 2, got {self.steps}")
        for key in ("labels", "samples"):
            if (groups := getattr(self, key)) is not None and len(groups) != 3:
                raise UserError(f"{key}: expected three groups A, B and C, got {len(groups)}")

    @property
    def named(self) -> list[str]:
        """The options that were given."""
        return [name for name in ("num_images", "steps", "images", "labels", "samples") if getattr(self, name) is not None]


@dataclass(frozen=True)
class Exploration:
    """What was found.

    Args:
        picture: uint8 ``(3, H, W)``.
        numbers: plain data: what the picture shows, and what was measured.
        summary: one line.
    """

    picture: Tensor
    numbers: dict[str, Any]
    summary: str


class Explorer:
    """One kind of exploration."""

    name: str
    options: tuple[str, ...] = ()
    """The options of a :class:`Request` that it heeds."""

    def obstacle(self, space: LatentSpace, request: Request) -> str | None:
        """Why this model cannot be explored this way, in one line; None when it can."""
        raise NotImplementedError

    def check(self, space: LatentSpace, request: Request) -> None:
        """Refuse what of a request makes no sense for this model and its data, before anything is drawn."""

    def draw(self, space: LatentSpace, request: Request) -> Exploration:
        """The exploration, within :meth:`GenerativeModel.inference`, of a model without an obstacle and for a request that was checked."""
        raise NotImplementedError


def starting_points(space: LatentSpace, request: Request, count: int) -> tuple[Codes, list[int]]:
    """So many latents to start from, and their numbers: of encoded images (the first ones, or those asked for), else of samples."""
    numbers = list(range(count)) if request.images is None else [*request.images]
    if not space.has_encoder:
        return space.draw(numbers), numbers
    numbers = numbers if request.images is not None else numbers[: space.data.split_size(space.split)]
    return space.encode(space.images(numbers)), numbers


def check_images(space: LatentSpace, request: Request) -> None:
    """Refuse numbers of images that the split does not have; samples have any number."""
    if space.has_encoder:
        require_numbers("images", request.images or (), space.data.split_size(space.split))


def rows_of(images: Tensor, count: int) -> list[Tensor]:
    """Images ``(count * n, C, H, W)`` in rows of n."""
    return [*images.unflatten(0, (count, -1))]


def rounded(values: Tensor | list[float]) -> list[Any]:
    """Numbers for a JSON file, to six significant digits."""
    values = torch.as_tensor(values).tolist()
    return [float(f"{value:.6g}") if not isinstance(value, list) else rounded(value) for value in values]
