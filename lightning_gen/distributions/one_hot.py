"""A uniform choice among categories, as a prior of latent vectors."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from lightning_gen.distributions.base import LatentDistribution
from lightning_gen.noise import Noise


class UniformOneHot(LatentDistribution):
    """One-hot vectors of length K, each with probability 1/K.

    Args:
        num_categories: K.
    """

    def __init__(self, num_categories: int) -> None:
        self.num_categories = num_categories
        self.mean = torch.full((num_categories,), 1 / num_categories)

    def support(self) -> Tensor:
        """Every value of z, one per row, ``(K, K)``."""
        return torch.eye(self.num_categories)

    def sample(self, noise: Noise, name: str, shape: Sequence[int]) -> Tensor:
        u = noise.uniform(name, shape[:-1])
        return one_hot((u * self.num_categories).long(), self.num_categories).to(u)

    def log_prob(self, z: Tensor) -> Tensor:
        return torch.full_like(z[..., 0], -math.log(self.num_categories))

    def repeated(self) -> UniformOneHot:
        return self

    def detached(self) -> UniformOneHot:
        return self
