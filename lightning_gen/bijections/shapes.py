"""Bijections that move numbers and change none: squeeze, permutations, flattening."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pixel_shuffle, pixel_unshuffle

from lightning_gen.bijections.base import Bijection, zero_log_det
from lightning_gen.errors import UserError
from lightning_gen.noise import Noise, philox


class Squeeze(Bijection):
    """Each 2x2 block becomes four channels (Dinh et al., 2016, arXiv:1605.08803, Section 3.6): ``(C, H, W) -> (4C, H/2, W/2)``."""

    def forward(self, x: Tensor, context: Tensor | None = None, noise: Noise | None = None) -> tuple[Tensor, Tensor]:
        return pixel_unshuffle(x, 2), zero_log_det(x)

    def inverse(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        return pixel_shuffle(z, 2)


def halvings(event_shape: tuple[int, ...], smallest: int = 1) -> int:
    """How often images ``(C, H, W)`` can be squeezed, while both sides are even and stay at least so long."""
    _, height, width = event_shape
    if height % 2 or width % 2 or min(height, width) < 2 * smallest:
        return 0
    return 1 + halvings((1, height // 2, width // 2), smallest)


def squeezed(event_shape: tuple[int, ...]) -> tuple[int, int, int]:
    """The shape after a :class:`Squeeze`.

    Raises:
        UserError: the sides are not even.
    """
    if len(event_shape) != 3 or event_shape[1] % 2 or event_shape[2] % 2:
        raise UserError(f"data_shape: a squeeze needs images with even sides, got {list(event_shape)}; fewer scales, or data.image_size")
    channels, height, width = event_shape
    return 4 * channels, height // 2, width // 2


class Flatten(Bijection):
    """Images to vectors.

    Args:
        event_shape: of the images.
    """

    def __init__(self, event_shape: tuple[int, ...]) -> None:
        super().__init__()
        self.event_shape = tuple(event_shape)

    def forward(self, x: Tensor, context: Tensor | None = None, noise: Noise | None = None) -> tuple[Tensor, Tensor]:
        return x.flatten(1), zero_log_det(x)

    def inverse(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        return z.unflatten(1, self.event_shape)


class Permutation(Bijection):
    """Another order of the channels (of the numbers of a vector).

    Args:
        order: z's channel i is x's channel ``order[i]``.
    """

    order: Tensor

    def __init__(self, order: Tensor) -> None:
        super().__init__()
        self.register_buffer("order", order, persistent=False)

    @classmethod
    def reverse(cls, size: int) -> Permutation:
        """Last first."""
        return cls(torch.arange(size - 1, -1, -1))

    @classmethod
    def random(cls, size: int, *key: int | str) -> Permutation:
        """A fixed random order, a function of the key."""
        return cls(torch.from_numpy(philox("permutation", *key).permutation(size)))

    def forward(self, x: Tensor, context: Tensor | None = None, noise: Noise | None = None) -> tuple[Tensor, Tensor]:
        return x[:, self.order], zero_log_det(x)

    def inverse(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        return z[:, self.order.argsort()]
