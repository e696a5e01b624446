r"""A VAE whose prior is a learned mixture of normals: the baseline of Tomczak & Welling (2017, arXiv:1705.07120).

Implemented: weights, means and scales of K diagonal normals, learned with the networks. A mixture has no KL in closed form, so the rate is
estimated by the draw of z that the reconstruction uses.
"""

from __future__ import annotations

from typing import Any, Literal

from torch import Tensor

from lightning_gen.distributions.base import LatentDistribution
from lightning_gen.distributions.mixture import LearnedMixture
from lightning_gen.models.autoencoders.vae import VAE
from lightning_gen.models.hyperparameters import require_at_least


class MixturePriorVAE(VAE):
    r"""A VAE with the prior :math:`p(z) = \sum_j \pi_j N(z; \mu_j, \sigma_j^2)`.

    Args:
        data_shape: as for every :class:`GenerativeModel`.
        num_components: K.
        kl_estimator: the draw; the mixture has no KL in closed form.
        **options: as for :class:`VAE`.
    """

    paper = "Tomczak & Welling 2017, arXiv:1705.07120 (its mixture baseline)"
    averaged_networks = (*VAE.averaged_networks, "mixture")

    def __init__(
        self, data_shape: list[int], num_components: int = 10, kl_estimator: Literal["monte_carlo"] = "monte_carlo", **options: Any
    ) -> None:
        super().__init__(data_shape, kl_estimator=kl_estimator, **options)
        require_at_least(1, num_components=num_components)
        self.mixture = LearnedMixture(num_components, self.latent_dim)

    def prior(self, labels: Tensor | None = None) -> LatentDistribution:
        """The mixture; labels do not change it."""
        return self.mixture.distribution()
