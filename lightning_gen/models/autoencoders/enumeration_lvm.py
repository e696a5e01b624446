r"""The foil with a discrete latent variable: the sum over z is exact, and nothing has to be inferred or estimated.

A mixture of K decoded components, :math:`p(x) = \frac1K \sum_j p(x|z = j)`, trained by maximum likelihood: what a latent-variable model
can be without a posterior, as long as z has few values. One step costs K decodings, and K likelihoods per image; with d such variables it
would be K^d, which is where variational inference (Kingma & Welling, 2013, arXiv:1312.6114) comes in.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from lightning_gen.distributions.base import LatentDistribution
from lightning_gen.distributions.one_hot import UniformOneHot
from lightning_gen.models.autoencoders.latent_variable_model import LatentVariableModel, log_mean_exp
from lightning_gen.models.base import Batch
from lightning_gen.noise import Noise
from lightning_gen.registry import ClassSpec


class EnumerationLVM(LatentVariableModel):
    r"""A decoder of one of K categories, trained on the exact likelihood.

    .. math:: \log p(x) = \log \frac1K \sum_{j=1}^K p(x|z = e_j)

    Args:
        data_shape: as for every :class:`GenerativeModel`.
        latent_dim: K; z is one-hot, and uniform.
        decoder: network of p(x|z), a spec of a :class:`~lightning_gen.nn.base.Decoder`.
        **options: as for :class:`LatentVariableModel`.
    """

    density = "explicit exact"
    paper = "exact enumeration, where Kingma & Welling 2013, arXiv:1312.6114 infer"

    def __init__(self, data_shape: list[int], latent_dim: int = 64, decoder: ClassSpec | str = "MLPDecoder", **options: Any) -> None:
        super().__init__(data_shape, latent_dim, **options)
        self.decoder = self.build_decoder(decoder, latent_dim)

    def prior(self, labels: Tensor | None = None) -> LatentDistribution:
        """Each category with probability 1/K; labels do not change it."""
        return UniformOneHot(self.latent_dim)

    def validation_terms(self, batch: Batch, noise: Noise) -> dict[str, Tensor]:
        """Minus the log-likelihood, nats per image."""
        return {"loss": -self.log_likelihood(batch[0], self.labels_of(batch), noise).mean()}

    def log_prob(self, images: Tensor, *, labels: Tensor | None = None, noise: Noise, num_samples: int = 1) -> Tensor:
        """The sum over all z, nats ``(B,)``; ``num_samples`` has nothing to improve."""
        return self.log_likelihood(images, self.condition(labels), noise)

    def log_likelihood(self, images: Tensor, labels: Tensor | None, noise: Noise) -> Tensor:
        """log p(x), ``(B,)``."""
        target, z = self.likelihood.target(images, noise), UniformOneHot(self.latent_dim).support().to(images.device)
        if labels is None:  # every image has the same K decodings
            return log_mean_exp(self.likelihood.log_prob(self.likelihood_parameters(z), target.unsqueeze(1)))
        return log_mean_exp(-self.distortion(z.expand(len(images), -1, -1), target, labels))

    def likelihood_kind(self, num_samples: int = 1) -> str:
        """Exact where p(x|z) is; a Gaussian of dequantized images is a bound."""
        return "exact" if self.likelihood.is_exact else "lower bound"
