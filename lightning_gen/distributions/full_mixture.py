"""A mixture of normals with full covariances, as a density of latent vectors that is fitted to them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from lightning_gen.distributions.mixture import NormalMixture
from lightning_gen.distributions.normal import FullNormal
from lightning_gen.noise import Noise


class FullNormalMixture(NormalMixture):
    r"""A mixture of K normals, :math:`\sum_j \pi_j N(z; \mu_j, L_j L_j^\top)`, without a batch.

    Args:
        logits: unnormalised log-weights, ``(K,)``.
        components: the normals, ``(K, D)``.
    """

    components: FullNormal  # type: ignore[assignment]

    def __init__(self, logits: Tensor, components: FullNormal) -> None:
        self.log_weights = torch.log_softmax(logits, dim=-1)
        self.components = components
        self.mean = self.log_weights.exp() @ components.mean

    def sample(self, noise: Noise, name: str, shape: Sequence[int]) -> Tensor:
        """Draws of a component, by inversion, and of its normal."""
        chosen = self.choose(noise, name, shape)
        return FullNormal(self.components.mean[chosen], self.components.scale_tril[chosen]).sample(noise, name, shape)

    def detached(self) -> FullNormalMixture:
        return FullNormalMixture(self.log_weights.detach(), self.components.detached())
