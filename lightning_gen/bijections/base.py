r"""What every invertible layer can do, and how layers are put together.

``forward`` is always from data to noise, so that :math:`\log p(x) = \log p(z) + \log|\det dz/dx|` (change of variables).
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from lightning_gen.noise import Noise


class Bijection(nn.Module):
    """An invertible differentiable map of a tensor per item, ``(B, ...)``."""

    def forward(self, x: Tensor, context: Tensor | None = None, noise: Noise | None = None) -> tuple[Tensor, Tensor]:
        """x to z and log|det dz/dx| ``(B,)``, in nats.

        Args:
            x: the data's side, ``(B, ...)``.
            context: what the map may depend on besides, one row per item: features of a condition. Layers without a use for it ignore it.
            noise: for log-determinants that are estimated; without it they are exact.
        """
        raise NotImplementedError(f"{type(self).__name__} has to implement forward")

    def inverse(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        """z to x."""
        raise NotImplementedError(f"{type(self).__name__} has to implement inverse")

    def learned_layers(self) -> list[Bijection]:
        """The layers that data have shaped, from noise to data; not those that only move numbers or stretch them in a fixed way."""
        statistics = any(buffer.is_floating_point() for buffer in self.buffers())
        return [self] if statistics or any(True for _ in self.parameters()) else []

    def partial_inverse(self, z: Tensor, layers: Container[Bijection], context: Tensor | None = None) -> Tensor:
        """z to x by some of the learned layers alone: the others are left out, as if they were the identity."""
        return self.inverse(z, context) if self in layers or not self.learned_layers() else z


class Chain(Bijection):
    """Bijections one after the other, the first one next to the data.

    Args:
        bijections: in the order from data to noise.
    """

    def __init__(self, bijections: Iterable[Bijection]) -> None:
        super().__init__()
        self.bijections = nn.ModuleList(bijections)

    def forward(self, x: Tensor, context: Tensor | None = None, noise: Noise | None = None) -> tuple[Tensor, Tensor]:
        log_det = zero_log_det(x)
        for bijection in self.bijections:
            x, term = bijection(x, context, noise)
            log_det = log_det + term
        return x, log_det

    def inverse(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        for bijection in self.from_noise():
            z = bijection.inverse(z, context)
        return z

    def from_noise(self) -> Iterator[Bijection]:
        """The bijections in the order from noise to data."""
        return reversed(cast(Sequence[Bijection], self.bijections))

    def learned_layers(self) -> list[Bijection]:
        return [layer for bijection in self.from_noise() for layer in bijection.learned_layers()]

    def partial_inverse(self, z: Tensor, layers: Container[Bijection], context: Tensor | None = None) -> Tensor:
        for bijection in self.from_noise():
            z = bijection.partial_inverse(z, layers, context)
        return z


class Inverse(Bijection):
    """A bijection used the other way round; its log-determinant costs a pass in each direction.

    Args:
        bijection: the one whose inverse this is.
    """

    def __init__(self, bijection: Bijection) -> None:
        super().__init__()
        self.bijection = bijection

    def forward(self, x: Tensor, context: Tensor | None = None, noise: Noise | None = None) -> tuple[Tensor, Tensor]:
        z = self.bijection.inverse(x, context)
        _, log_det = self.bijection(z, context, noise)
        return z, -log_det

    def inverse(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        return self.bijection(z, context)[0]


def zero_log_det(x: Tensor) -> Tensor:
    """The log-determinant of a map that keeps volumes, ``(B,)``, in float32 at least."""
    return torch.zeros(len(x), device=x.device, dtype=wide(x))


def wide(x: Tensor) -> torch.dtype:
    """The type in which log-determinants of x are computed: float32 at least."""
    return torch.promote_types(x.dtype, torch.float32)


def sum_event(x: Tensor) -> Tensor:
    """The sum over all but the first dimension, ``(B,)``."""
    return x.flatten(1).sum(1)
