"""The two colours of a checkerboard as two halves of the channels, so that what works on one of them is given nothing else."""

from __future__ import annotations

import torch
from torch import Tensor

from lightning_gen.bijections.base import Bijection, zero_log_det
from lightning_gen.bijections.coupling import halves
from lightning_gen.errors import UserError
from lightning_gen.noise import Noise


class CheckerboardSplit(Bijection):
    """Squares where row + column is even become the first half of the channels, the others the second: (C, H, W) to (2C, H, W/2).

    A coupling of the two halves does what a coupling with a checkerboard mask does, at half of the cost.
    """

    def forward(self, x: Tensor, context: Tensor | None = None, noise: Noise | None = None) -> tuple[Tensor, Tensor]:
        pairs = x.unflatten(-1, (x.shape[-1] // 2, 2))  # (B, C, H, W/2, 2)
        return torch.cat(by_colour(pairs[..., 0], pairs[..., 1]), dim=1), zero_log_det(x)

    def inverse(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        even, odd = halves(z)
        return torch.stack(by_colour(even, odd), dim=-1).flatten(-2)


def by_colour(one: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """Two columns beside each other ``(B, C, H, ...)``, exchanged in every second row, which is the same forth and back."""
    in_place = torch.arange(one.shape[2], device=one.device).view(-1, 1) % 2 == 0
    return torch.where(in_place, one, other), torch.where(in_place, other, one)


def checkerboard_split(event_shape: tuple[int, ...]) -> tuple[int, int, int]:
    """The shape after a :class:`CheckerboardSplit`.

    Raises:
        UserError: the width is not even.
    """
    if len(event_shape) != 3 or event_shape[2] % 2:
        raise UserError(f"data_shape: a checkerboard split needs images of even width, got {list(event_shape)}")
    channels, height, width = event_shape
    return 2 * channels, height, width // 2


class OnHalves(Bijection):
    """One bijection for the first half of the channels, another one for the second.

    Args:
        first, second: they keep shapes.
    """

    def __init__(self, first: Bijection, second: Bijection) -> None:
        super().__init__()
        self.first = first
        self.second = second

    def forward(self, x: Tensor, context: Tensor | None = None, noise: Noise | None = None) -> tuple[Tensor, Tensor]:
        first, second = halves(x)
        first, log_det = self.first(first, context, noise)
        second, term = self.second(second, context, noise)
        return torch.cat([first, second], dim=1), log_det + term

    def inverse(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        first, second = halves(z)
        return torch.cat([self.first.inverse(first, context), self.second.inverse(second, context)], dim=1)
