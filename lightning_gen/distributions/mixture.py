"""A mixture of normals, as a prior of latent vectors."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lightning_gen.distributions.base import LatentDistribution
from lightning_gen.distributions.normal import DiagonalNormal
from lightning_gen.noise import Noise


class NormalMixture(LatentDistribution):
    r"""A mixture of K diagonal normals, :math:`\sum_j \pi_j N(z; \mu_j, \sigma_j^2)`, without a batch.

    Args:
        logits: unnormalised log-weights, ``(K,)``.
        components: the normals, ``(K, D)``.
    """

    def __init__(self, logits: Tensor, components: DiagonalNormal) -> None:
        self.log_weights = torch.log_softmax(logits, dim=-1)
        self.components = components
        self.mean = self.log_weights.exp() @ components.mean

    def sample(self, noise: Noise, name: str, shape: Sequence[int]) -> Tensor:
        """Draws of a component, by inversion, and of its normal; not differentiable in the weights."""
        chosen = self.choose(noise, name, shape)
        return DiagonalNormal(self.components.mean[chosen], self.components.log_scale[chosen]).transform(noise.normal(name, shape))

    def choose(self, noise: Noise, name: str, shape: Sequence[int]) -> Tensor:
        """Draws of a component's number, ``(B, *shape[:-1])``, by inversion."""
        u = noise.uniform(f"{name}/component", shape[:-1])
        last = len(self.log_weights) - 1
        # Rounding can leave the last cumulative sum below u.
        return torch.searchsorted(self.log_weights.exp().cumsum(0).contiguous(), u.contiguous(), right=True).clamp(max=last)

    def log_prob(self, z: Tensor) -> Tensor:
        return torch.logsumexp(self.log_weights + self.components.log_densities(z), dim=-1)

    def repeated(self) -> NormalMixture:
        return self

    def detached(self) -> NormalMixture:
        return NormalMixture(self.log_weights.detach(), self.components.detached())


class LearnedMixture(nn.Module):
    """The parameters of a :class:`NormalMixture`, to be learned; it starts near N(0, I), with components that differ.

    Args:
        num_components: K.
        latent_dim: D.
    """

    def __init__(self, num_components: int, latent_dim: int) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(num_components))
        self.means = nn.Parameter(torch.empty(num_components, latent_dim))
        self.log_scales = nn.Parameter(torch.zeros(num_components, latent_dim))
        nn.init.normal_(self.means, std=0.5)  # equal components would get equal gradients for ever

    def distribution(self) -> NormalMixture:
        """The mixture."""
        return NormalMixture(self.logits, DiagonalNormal(self.means, self.log_scales))
