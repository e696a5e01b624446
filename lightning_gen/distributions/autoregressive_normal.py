"""A normal distribution that is bent by a flow: the posterior of inverse autoregressive flow (Kingma et al., 2016, arXiv:1606.04934)."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor

from lightning_gen.bijections.base import Bijection
from lightning_gen.distributions.base import LatentDistribution
from lightning_gen.distributions.normal import DiagonalNormal
from lightning_gen.noise import Noise


class AutoregressiveNormal(LatentDistribution):
    r"""What a flow f makes of a diagonal normal, :math:`z = f(z_0; h)` with :math:`z_0 \sim N(\mu, \sigma^2)`.

    .. math:: \log q(z) = \log N(z_0; \mu, \sigma^2) - \log|\det \partial f / \partial z_0|

    A draw comes with its density: one pass of f. That of any other z costs f's inverse, for which autoregressive layers solve exactly.

    Args:
        base: of z_0, ``(..., D)``.
        flow: f, used from noise to z, the fast direction of its autoregressive layers; vectors ``(N, D)`` with a context ``(N, F)``.
        context: h, ``(..., F)`` with the dimensions of the base in front.
    """

    def __init__(self, base: DiagonalNormal, flow: Bijection, context: Tensor) -> None:
        self.base = base
        self.flow = flow
        self.context = context
        self.last_draw: tuple[Tensor, Tensor] | None = None
        """The tensor drawn last and its log-density, without a copy: only the very same tensor is recognised."""

    @property
    def mean(self) -> Tensor:
        """What the flow makes of the mean of z_0: not the expectation of z, which has no closed form."""
        return self.bent(self.base.mean)[0]

    def bent(self, z_0: Tensor) -> tuple[Tensor, Tensor]:
        """f(z_0) and its log-determinant ``(...)``."""
        rows, context = self.rows(z_0)
        z, log_det = self.flow(rows, context)
        return z.view(z_0.shape), log_det.view(z_0.shape[:-1])

    def rows(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """z ``(..., D)`` and its context as rows."""
        return z.reshape(-1, z.shape[-1]), self.context.expand(*z.shape[:-1], -1).reshape(-1, self.context.shape[-1])

    def sample(self, noise: Noise, name: str, shape: Sequence[int]) -> Tensor:
        z_0 = self.base.sample(noise, name, shape)
        z, log_det = self.bent(z_0)
        self.last_draw = z, self.base.log_prob(z_0) - log_det
        return z

    def log_prob(self, z: Tensor) -> Tensor:
        if self.last_draw is not None and z is self.last_draw[0]:
            return self.last_draw[1]
        z = z.expand(torch.broadcast_shapes(z.shape, self.base.mean.shape))
        rows, context = self.rows(z)
        z_0 = self.flow.inverse(rows, context).view(z.shape)
        return self.base.log_prob(z_0) - self.bent(z_0)[1]

    def repeated(self) -> AutoregressiveNormal:
        return AutoregressiveNormal(self.base.repeated(), self.flow, self.context.unsqueeze(-2))

    def detached(self) -> AutoregressiveNormal:
        return AutoregressiveNormal(self.base.detached(), copy.deepcopy(self.flow).requires_grad_(False), self.context.detach())
