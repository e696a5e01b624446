"""Noise without parameters onto which flows map: logistic and uniform, of any dimension; the normal is ``DiagonalNormal.standard()``."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import softplus

from lightning_gen.distributions.base import LatentDistribution
from lightning_gen.noise import Noise

SMALLEST = 2.0**-25
"""Uniform draws are multiples of 2^-24 from 0 on; half a step keeps their logit finite."""


class StandardLogistic(LatentDistribution):
    r"""Independent logistics, :math:`\log p(z) = -\sum_d \log(1 + e^{z_d}) + \log(1 + e^{-z_d})` (the prior of NICE, arXiv:1410.8516)."""

    mean = torch.zeros(())

    def sample(self, noise: Noise, name: str, shape: Sequence[int]) -> Tensor:
        u = noise.uniform(name, shape).clamp(SMALLEST, 1 - SMALLEST)
        return torch.log(u) - torch.log1p(-u)

    def log_prob(self, z: Tensor) -> Tensor:
        return -(softplus(z) + softplus(-z)).sum(-1)

    def repeated(self) -> StandardLogistic:
        return self

    def detached(self) -> StandardLogistic:
        return self


class StandardUniform(LatentDistribution):
    """Independent uniforms on [0, 1): log-density 0 inside, minus infinity outside."""

    mean = torch.full((), 0.5)

    def sample(self, noise: Noise, name: str, shape: Sequence[int]) -> Tensor:
        return noise.uniform(name, shape)

    def log_prob(self, z: Tensor) -> Tensor:
        inside = ((z >= 0) & (z <= 1)).all(-1)
        return torch.where(inside, 0.0, -torch.inf).to(z.dtype)

    def repeated(self) -> StandardUniform:
        return self

    def detached(self) -> StandardUniform:
        return self
