r"""The β-TCVAE (Chen et al., 2018, arXiv:1802.04942): only the total correlation of the aggregate posterior is charged more.

Implemented: the decomposition of the KL with α = γ = 1. Deviation: the aggregate posterior q(z) is estimated from the posteriors of the
global batch alone, each with the same weight. The paper's minibatch weighting divides by the size of the data set as well, which shifts
the estimate by a constant, (D - 1) log N, and leaves every gradient as it is.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from torch import Tensor

from lightning_gen.distributed import all_rows
from lightning_gen.distributions.base import LatentDistribution
from lightning_gen.distributions.normal import DiagonalNormal
from lightning_gen.models.autoencoders.vae import VAE
from lightning_gen.models.hyperparameters import require_at_least


class BetaTCVAE(VAE):
    r"""A VAE with a weight on the total correlation.

    .. math:: -\text{ELBO} + (\beta - 1)\, KL\Big(q(z) \,\Big\|\, \prod_d q(z_d)\Big), \qquad q(z) = E_x[q(z|x)]

    Args:
        data_shape: as for every :class:`GenerativeModel`.
        beta: the weight of the total correlation; 1 is the VAE.
        posterior: diagonal; the total correlation of another one is not implemented.
        **options: as for :class:`VAE`.
    """

    paper = "Chen et al. 2018, arXiv:1802.04942"

    def __init__(
        self, data_shape: list[int], beta: float = 6.0, posterior: Literal["DiagonalNormal"] = "DiagonalNormal", **options: Any
    ) -> None:
        super().__init__(data_shape, posterior=posterior, **options)
        require_at_least(0, beta=beta)

    def objective(self, distortion: Tensor, rate: Tensor, posterior: LatentDistribution, z: Tensor) -> dict[str, Tensor]:
        assert isinstance(posterior, DiagonalNormal)
        total_correlation = self.total_correlation(posterior, z)
        loss = super().objective(distortion, rate, posterior, z)["loss"] + (self.hparams.beta - 1) * total_correlation
        return {"loss": loss, "total_correlation": total_correlation}

    def total_correlation(self, posterior: DiagonalNormal, z: Tensor) -> Tensor:
        r"""An estimate of :math:`E_{q(z)}[\log q(z) - \sum_d \log q(z_d)]`, nats, by the global batch's posteriors and a draw of each."""
        if self.training:  # evaluation's last batch may not exist on every rank
            posterior = DiagonalNormal(all_rows(posterior.mean), all_rows(posterior.log_scale))
        log_densities = posterior.log_prob_terms(z.unsqueeze(1))  # (B, global batch, D)
        log_count = math.log(log_densities.shape[1])
        log_joint = torch.logsumexp(log_densities.sum(-1), dim=1) - log_count
        log_marginals = torch.logsumexp(log_densities, dim=1) - log_count
        return (log_joint - log_marginals.sum(-1)).mean()
