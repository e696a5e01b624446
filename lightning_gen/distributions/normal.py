"""Normal distributions of latent vectors: with diagonal and with full covariance."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from lightning_gen.distributions.base import LatentDistribution
from lightning_gen.noise import Noise

LOG_2PI = math.log(2 * math.pi)


class DiagonalNormal(LatentDistribution):
    r"""Independent normals, :math:`\prod_d N(z_d; \mu_d, \sigma_d^2)`; the last dimension is the event.

    Args:
        mean: ``(..., D)``.
        log_scale: log standard deviation, ``(..., D)``.
    """

    def __init__(self, mean: Tensor, log_scale: Tensor) -> None:
        self.mean = mean
        self.log_scale = log_scale

    @classmethod
    def standard(cls) -> DiagonalNormal:
        """N(0, I) of any dimension, on any device."""
        return cls(torch.zeros(()), torch.zeros(()))

    @staticmethod
    def num_parameters(latent_dim: int) -> int:
        return 2 * latent_dim

    @classmethod
    def from_parameters(cls, parameters: Tensor) -> DiagonalNormal:
        """Mean and log-scale, one after the other."""
        mean, log_scale = parameters.chunk(2, dim=-1)
        return cls(mean, log_scale)

    def transform(self, epsilon: Tensor) -> Tensor:
        """A standard normal draw as a draw of this distribution, differentiable in its parameters (reparameterisation)."""
        return self.mean + self.log_scale.exp() * epsilon

    def sample(self, noise: Noise, name: str, shape: Sequence[int]) -> Tensor:
        return self.transform(noise.normal(name, shape))

    def log_prob(self, z: Tensor) -> Tensor:
        return self.log_prob_terms(z).sum(-1)

    def log_prob_terms(self, z: Tensor) -> Tensor:
        """log-density of each dimension, ``(..., D)``."""
        standardized = (z - self.mean) * torch.exp(-self.log_scale)
        return -0.5 * standardized.square() - (self.log_scale + 0.5 * LOG_2PI)  # the bracket is small where z has more dimensions

    def log_densities(self, z: Tensor) -> Tensor:
        """By two matrix products: a tensor ``(..., K, D)`` would dwarf everything else.

        In float64, since the square expands into terms that cancel, and since matrix products in float32 may be rounded further.
        """
        precision = torch.exp(-2 * self.log_scale.double())
        weighted_mean = self.mean.double() * precision
        with torch.autocast(z.device.type, enabled=False):
            quadratic = z.double().square() @ precision.mT - 2 * z.double() @ weighted_mean.mT
        constant = (self.mean * weighted_mean + 2 * self.log_scale + LOG_2PI).sum(-1)
        return (-0.5 * (quadratic + constant)).to(z.dtype)

    def kl(self, other: DiagonalNormal) -> Tensor:
        """KL(self || other) in nats, ``(...)``."""
        return self.kl_terms(other).sum(-1)

    def kl_terms(self, other: LatentDistribution) -> Tensor:
        r"""KL(self || other), dimension by dimension, ``(..., D)``.

        .. math:: \log\frac{\sigma'_d}{\sigma_d} + \frac{\sigma_d^2 + (\mu_d - \mu'_d)^2}{2\sigma_d'^2} - \frac12
        """
        if not isinstance(other, DiagonalNormal):
            return super().kl_terms(other)
        log_ratio = self.log_scale - other.log_scale
        shift = (self.mean - other.mean) * torch.exp(-other.log_scale)
        return 0.5 * (torch.exp(2 * log_ratio) + shift.square() - 1) - log_ratio

    def repeated(self) -> DiagonalNormal:
        return DiagonalNormal(self.mean.unsqueeze(-2), self.log_scale.unsqueeze(-2)) if self.mean.dim() > 1 else self

    def detached(self) -> DiagonalNormal:
        return DiagonalNormal(self.mean.detach(), self.log_scale.detach())


class FullNormal(LatentDistribution):
    r"""The normal with full covariance, :math:`N(z; \mu, L L^\top)`, by the Cholesky factor L of its covariance.

    Args:
        mean: ``(..., D)``.
        scale_tril: L, lower triangular with a positive diagonal, ``(..., D, D)``.
    """

    def __init__(self, mean: Tensor, scale_tril: Tensor) -> None:
        self.mean = mean
        self.scale_tril = scale_tril

    @staticmethod
    def num_parameters(latent_dim: int) -> int:
        return latent_dim + latent_dim * (latent_dim + 1) // 2

    @classmethod
    def from_parameters(cls, parameters: Tensor) -> FullNormal:
        """The mean, the logarithm of L's diagonal, and L's entries below it row by row."""
        latent_dim = round(math.sqrt(2 * parameters.shape[-1] + 2.25) - 1.5)  # the root of num_parameters
        mean, log_diagonal, below = parameters.split([latent_dim, latent_dim, parameters.shape[-1] - 2 * latent_dim], dim=-1)
        rows, columns = torch.tril_indices(latent_dim, latent_dim, offset=-1, device=parameters.device)
        scale_tril = torch.diag_embed(log_diagonal.exp())
        scale_tril[..., rows, columns] = below
        return cls(mean, scale_tril)

    def sample(self, noise: Noise, name: str, shape: Sequence[int]) -> Tensor:
        """The mean plus L times a standard normal draw (reparameterisation)."""
        # No matrix product: autocast would round it.
        return self.mean + (self.scale_tril * noise.normal(name, shape).unsqueeze(-2)).sum(-1)

    def log_prob(self, z: Tensor) -> Tensor:
        centred = (z - self.mean).unsqueeze(-1)
        scale_tril = self.scale_tril.expand(*centred.shape[:-2], -1, -1)
        standardized = torch.linalg.solve_triangular(scale_tril, centred, upper=False).squeeze(-1)
        return -(0.5 * standardized.square() + 0.5 * LOG_2PI).sum(-1) - self._log_det()

    def _log_det(self) -> Tensor:
        """log|det L|, ``(...)``."""
        return self.scale_tril.diagonal(dim1=-2, dim2=-1).log().sum(-1)

    def kl_terms(self, other: LatentDistribution) -> Tensor:
        r"""KL(self || other) for a diagonal normal, ``(..., 1)``; it is no sum over dimensions.

        .. math::
            \frac12 \sum_d \Big(\frac{(L L^\top)_{dd} + (\mu_d - \mu'_d)^2}{\sigma_d'^2} - 1 + 2 \log \sigma'_d\Big) - \log|\det L|
        """
        if not isinstance(other, DiagonalNormal):
            return super().kl_terms(other)
        variance = self.scale_tril.square().sum(-1)
        ratio = (variance + (self.mean - other.mean).square()) * torch.exp(-2 * other.log_scale)
        return ((0.5 * (ratio - 1) + other.log_scale).sum(-1) - self._log_det()).unsqueeze(-1)

    def repeated(self) -> FullNormal:
        return FullNormal(self.mean.unsqueeze(-2), self.scale_tril.unsqueeze(-3)) if self.mean.dim() > 1 else self

    def detached(self) -> FullNormal:
        return FullNormal(self.mean.detach(), self.scale_tril.detach())
