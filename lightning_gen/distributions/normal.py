"""The normal distribution with diagonal covariance."""

from __future__ import annotations

import math

import torch
from torch import Tensor

LOG_2PI = math.log(2 * math.pi)


class DiagonalNormal:
    r"""Independent normals, :math:`\prod_d N(z_d; \mu_d, \sigma_d^2)`; the last dimension is the event.

    Args:
        mean: ``(..., D)``.
        log_scale: log standard deviation, ``(..., D)``.
    """

    def __init__(self, mean: Tensor, log_scale: Tensor) -> None:
        self.mean = mean
        self.log_scale = log_scale

    @classmethod
    def standard_like(cls, other: DiagonalNormal) -> DiagonalNormal:
        """N(0, I) with the shape of ``other``."""
        return cls(torch.zeros_like(other.mean), torch.zeros_like(other.log_scale))

    def transform(self, epsilon: Tensor) -> Tensor:
        """A standard normal draw as a draw of this distribution, differentiable in its parameters (reparameterisation)."""
        return self.mean + self.log_scale.exp() * epsilon

    def log_prob(self, z: Tensor) -> Tensor:
        """log-density in nats, ``(...)``."""
        standardized = (z - self.mean) * torch.exp(-self.log_scale)
        return -(0.5 * standardized.square() + self.log_scale + 0.5 * LOG_2PI).sum(-1)

    def kl(self, other: DiagonalNormal) -> Tensor:
        r"""KL(self || other) in nats, ``(...)``.

        .. math:: \sum_d \log\frac{\sigma'_d}{\sigma_d} + \frac{\sigma_d^2 + (\mu_d - \mu'_d)^2}{2\sigma_d'^2} - \frac12
        """
        return self.kl_per_dimension(other).sum(-1)

    def kl_per_dimension(self, other: DiagonalNormal) -> Tensor:
        """The terms of :meth:`kl`, ``(..., D)``."""
        log_ratio = self.log_scale - other.log_scale
        shift = (self.mean - other.mean) * torch.exp(-other.log_scale)
        return 0.5 * (torch.exp(2 * log_ratio) + shift.square() - 1) - log_ratio
