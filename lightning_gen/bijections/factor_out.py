"""Multi-scale flows: half of the channels is done early, the rest goes on (Dinh et al., 2016, arXiv:1605.08803, Section 3.6)."""

from __future__ import annotations

from collections.abc import Container

import torch
from torch import Tensor, nn

from lightning_gen.bijections.base import Bijection, sum_event, wide
from lightning_gen.bijections.coupling import halves
from lightning_gen.noise import Noise


class FactorOut(Bijection):
    r"""One half of the channels becomes noise, the other half goes through the rest: z is the concatenation of both, flat.

    With a network, the early half is standardised by what the other half says of it (Glow's split prior): a prior
    :math:`N(\mu(h), e^{2s(h)})` of that half, written as a bijection onto N(0, I).

    Args:
        event_shape: of the early half, :func:`~lightning_gen.bijections.coupling.halves`' second one.
        rest: from the other half to flat noise.
        network: the other half to mean and log-scale of the early one, ``(B, 2 C', H, W)``; None for N(0, I) as it is.
    """

    log_scale: Tensor | None = None
    """By what the last batch's early half was scaled, for those who look for extreme scales."""

    def __init__(self, event_shape: tuple[int, ...], rest: Bijection, network: nn.Module | None = None) -> None:
        super().__init__()
        self.event_shape = tuple(event_shape)
        self.rest = rest
        self.network = network

    def moments(self, h: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-scale of the early half, given the other."""
        assert self.network is not None
        mean, log_scale = self.network(h).to(wide(h)).chunk(2, dim=1)
        return mean, log_scale

    def forward(self, x: Tensor, context: Tensor | None = None, noise: Noise | None = None) -> tuple[Tensor, Tensor]:
        h, early = halves(x)
        log_det = torch.zeros(len(x), device=x.device, dtype=wide(x))
        if self.network is not None:
            mean, log_scale = self.moments(h)
            self.log_scale = -log_scale.detach()
            early = (early - mean) * torch.exp(-log_scale)
            log_det = -sum_event(log_scale)
        z, term = self.rest(h, context, noise)
        return torch.cat([early.flatten(1), z], dim=1), log_det + term

    def inverse(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        early, z = self.parted(z)
        return self.joined(early, self.rest.inverse(z, context), standardised=self.network is not None)

    def parted(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """The early half in its shape, and the flat noise of the rest."""
        size = torch.Size(self.event_shape).numel()
        return z[:, :size].unflatten(1, self.event_shape), z[:, size:]

    def joined(self, early: Tensor, h: Tensor, *, standardised: bool) -> Tensor:
        """x of its halves."""
        if standardised:
            mean, log_scale = self.moments(h)
            early = mean + torch.exp(log_scale) * early
        return torch.cat([h, early], dim=1)

    def learned_layers(self) -> list[Bijection]:
        return [*self.rest.learned_layers(), *([] if self.network is None else [self])]

    def partial_inverse(self, z: Tensor, layers: Container[Bijection], context: Tensor | None = None) -> Tensor:
        early, z = self.parted(z)
        return self.joined(early, self.rest.partial_inverse(z, layers, context), standardised=self in layers)
