"""Poisson distributions of vectors of counts."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from lightning_gen.distributions.base import LatentDistribution
from lightning_gen.noise import Noise


class Poisson(LatentDistribution):
    r"""Independent counts, :math:`\prod_d e^{-\lambda_d} \lambda_d^{z_d} / z_d!`; counts are floats, the last dimension is the event.

    Args:
        log_rate: log λ, ``(..., D)``; rates up to 700.
    """

    def __init__(self, log_rate: Tensor) -> None:
        self.log_rate = log_rate
        self.mean = log_rate.exp()

    @staticmethod
    def num_parameters(latent_dim: int) -> int:
        return latent_dim

    @classmethod
    def from_parameters(cls, parameters: Tensor) -> Poisson:
        """The log-rates."""
        return cls(parameters)

    @torch.no_grad()
    def sample(self, noise: Noise, name: str, shape: Sequence[int]) -> Tensor:
        """Exact draws by inversion, the smallest n with F(n) > u; not differentiable."""
        u = noise.uniform(name, shape).double().clamp(max=1 - 2**-24)
        rate = self.mean.double()
        mass = torch.exp(-rate)
        cumulative, count = mass, 0
        z = torch.zeros_like(u)
        # Ends: the cumulative sum comes nearer to 1 than the largest u, also where draws are float64.
        while bool((above := u >= cumulative).any()):
            count += 1
            z += above
            mass = mass * rate / count
            cumulative = cumulative + mass
        return z.to(self.mean)

    def relaxed_sample(self, noise: Noise, name: str, shape: Sequence[int], temperature: float, num_events: int) -> Tensor:
        r"""Draws of a continuous stand-in for the counts, differentiable in the rates (Vafaii et al., 2024, arXiv:2405.14473, Algorithm 1).

        .. math:: \tilde z = \sum_{m=1}^M \sigma\big((1 - t_m) / T\big), \qquad t_m = \sum_{i \le m} \epsilon_i / \lambda

        with standard exponential ε: the events of a Poisson process within a unit of time, counted softly; as T falls to 0 the draw
        becomes the count (up to M).

        Args:
            noise, name, shape: as for :meth:`sample`.
            temperature: T.
            num_events: M, at least as many as occur.
        """
        u = noise.uniform(name, (*shape[:-1], num_events, shape[-1]))
        times = -torch.log1p(-u).cumsum(-2) * torch.exp(-self.log_rate.clamp(min=-60)).unsqueeze(-2)
        return torch.sigmoid((1 - times) / temperature).sum(-2)

    def log_prob(self, z: Tensor) -> Tensor:
        return (z * self.log_rate - self.mean - torch.lgamma(z + 1)).sum(-1)

    def kl_terms(self, other: LatentDistribution) -> Tensor:
        r"""KL(self || other), dimension by dimension, ``(..., D)``.

        .. math:: \lambda_d \log\frac{\lambda_d}{\lambda'_d} - \lambda_d + \lambda'_d
        """
        if not isinstance(other, Poisson):
            return super().kl_terms(other)
        return self.mean * (self.log_rate - other.log_rate) - self.mean + other.mean

    def repeated(self) -> Poisson:
        return Poisson(self.log_rate.unsqueeze(-2)) if self.log_rate.dim() > 1 else self

    def detached(self) -> Poisson:
        return Poisson(self.log_rate.detach())
