"""Coupling layers: one part of x passes unchanged and says what happens to the other (Dinh et al., 2014, arXiv:1410.8516, Section 3.2)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lightning_gen.bijections.base import Bijection, sum_event, wide
from lightning_gen.bijections.transforms import Transform, shaped
from lightning_gen.noise import Noise


class Coupling(Bijection):
    r"""A coupling layer of any transform, divided by a mask (Dinh et al., 2016, arXiv:1605.08803, Eq. 9 for the affine one).

    .. math:: z = b \odot x + (1 - b) \odot g(x;\, N(b \odot x))

    Args:
        mask: the binary mask b, 1 where x passes unchanged; ``(1, *event)``.
        network: N, called with the masked x and the context; ``(B, *event)`` to P numbers for each, channels first:
            ``(B, P * C, H, W)`` or ``(B, P * D)``.
        transform: g.
    """

    mask: Tensor

    def __init__(self, mask: Tensor, network: nn.Module, transform: Transform) -> None:
        super().__init__()
        self.register_buffer("mask", mask, persistent=False)
        self.network = network
        self.transform = transform

    def parameters_of(self, x: Tensor, context: Tensor | None) -> Tensor:
        """What the passing part says of every number, ``(B, P, *event)``."""
        output = self.network(x * self.mask, context)
        return shaped(output, self.transform.num_parameters, tuple(x.shape[1:]))

    def forward(self, x: Tensor, context: Tensor | None = None, noise: Noise | None = None) -> tuple[Tensor, Tensor]:
        x = x.to(wide(x))
        z, log_slope = self.transform(x, self.parameters_of(x, context))
        passes = self.mask.bool()
        return torch.where(passes, x, z), sum_event(torch.where(passes, 0.0, log_slope))

    def inverse(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        z = z.to(wide(z))
        return torch.where(self.mask.bool(), z, self.transform.inverse(z, self.parameters_of(z, context)))


class SplitCoupling(Bijection):
    """The same for the two halves of the channels, where the network sees and says only what it has to.

    Args:
        network: called with the first half of the channels, ``(B, C - C // 2, ...)``, and the context; to ``(B, P * (C // 2), ...)``.
        transform: what is done to the other half.
    """

    def __init__(self, network: nn.Module, transform: Transform) -> None:
        super().__init__()
        self.network = network
        self.transform = transform

    def parameters_of(self, passing: Tensor, changing: Tensor, context: Tensor | None) -> Tensor:
        """What one half says of the other, ``(B, P, *event)`` of the other."""
        return shaped(self.network(passing, context), self.transform.num_parameters, tuple(changing.shape[1:]))

    def forward(self, x: Tensor, context: Tensor | None = None, noise: Noise | None = None) -> tuple[Tensor, Tensor]:
        passing, changing = halves(x.to(wide(x)))
        changed, log_slope = self.transform(changing, self.parameters_of(passing, changing, context))
        return torch.cat([passing, changed], dim=1), sum_event(log_slope)

    def inverse(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        passing, changed = halves(z.to(wide(z)))
        return torch.cat([passing, self.transform.inverse(changed, self.parameters_of(passing, changed, context))], dim=1)


def halves(x: Tensor) -> tuple[Tensor, Tensor]:
    """The two halves of the channels; of an odd number the first half has one more."""
    kept = x.shape[1] - x.shape[1] // 2
    return x[:, :kept], x[:, kept:]
