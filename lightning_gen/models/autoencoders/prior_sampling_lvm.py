r"""The foil: a latent-variable model trained by plain Monte Carlo over its prior, which shows what q(z|x) is for.

The estimate :math:`\log \frac1k \sum_i p(x|z_i)` with :math:`z_i \sim p(z)` is the k-sample bound (Burda et al., 2015, arXiv:1509.00519)
with the prior in the posterior's place: the weights are unbiased, and their variance grows with the information that x has about z, for
hardly any draw of the prior explains a given image. There is no encoder. With a small discrete z the integral is a sum: see
``EnumerationLVM``.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from lightning_gen.models.autoencoders.latent_variable_model import LatentVariableModel, log_mean_exp, portions
from lightning_gen.models.base import Batch
from lightning_gen.models.hyperparameters import require_at_least
from lightning_gen.noise import Noise
from lightning_gen.registry import ClassSpec


class PriorSamplingLVM(LatentVariableModel):
    r"""A decoder trained on draws from the prior.

    .. math:: \log p(x) \ge E_{z_1 \dots z_k \sim p(z)}\Big[\log \frac1k \sum_i p(x|z_i)\Big]

    Args:
        data_shape: as for every :class:`GenerativeModel`.
        latent_dim: length of z.
        num_samples: k draws per image.
        decoder: network of p(x|z), a spec of a :class:`~lightning_gen.nn.base.Decoder`.
        **options: as for :class:`LatentVariableModel`.
    """

    paper = "plain Monte Carlo, the bound of Burda et al. 2015, arXiv:1509.00519, without q(z|x)"

    def __init__(
        self, data_shape: list[int], latent_dim: int = 50, num_samples: int = 32, decoder: ClassSpec | str = "MLPDecoder", **options: Any
    ) -> None:
        super().__init__(data_shape, latent_dim, **options)
        require_at_least(1, num_samples=num_samples)
        self.decoder = self.build_decoder(decoder, latent_dim)

    def validation_terms(self, batch: Batch, noise: Noise) -> dict[str, Tensor]:
        """Minus the k-sample bound, nats per image."""
        return {"loss": -self.bound(batch[0], self.labels_of(batch), noise, self.hparams.num_samples).mean()}

    def log_prob(self, images: Tensor, *, labels: Tensor | None = None, noise: Noise, num_samples: int = 1) -> Tensor:
        """The k-sample bound, nats ``(B,)``."""
        return self.bound(images, self.condition(labels), noise, num_samples)

    def bound(self, images: Tensor, labels: Tensor | None, noise: Noise, num_samples: int) -> Tensor:
        """The log-mean of p(x|z) over draws of the prior, each image with its own, ``(B,)``."""
        prior, target = self.prior(labels).repeated(), self.likelihood.target(images, noise)
        log_weights = []
        for name, k in portions(num_samples):
            z = prior.sample(noise, name, (k, self.latent_dim))
            log_weights.append(-self.distortion(z, target, labels))
        return log_mean_exp(torch.cat(log_weights, dim=1))
