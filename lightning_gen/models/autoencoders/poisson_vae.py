r"""The Poisson VAE (Vafaii, Galor & Yates, 2024, arXiv:2405.14473): latent vectors are counts.

Implemented: a prior with learned rates, a posterior whose rates are the prior's times what the encoder says, the KL in closed form, and
two gradients of the reconstruction term with respect to the rates.

- ``score_function`` is unbiased: the log-mass of each of k draws, weighted by how much worse that draw explains the image than the mean of
  the k - 1 others (Kool et al., 2019, "Buy 4 REINFORCE samples, get a baseline for free!"). Its variance is that of the differences
  between draws of one image, falls as 1/k, and does not depend on a constant in the likelihood.
- ``relaxed`` is the paper's: the decoder trains on softly counted events, differentiable in the rates. It is biased, since the decoder
  sees numbers that no count is and the loss is not the ELBO of the counts; the bias goes to 0 with the temperature, while the variance
  grows as its inverse.

Whichever it is trained with, evaluation and samples use exact counts; a reconstruction is decoded from the rates. Deviations: log-rates
are bounded smoothly at that of ``max_rate``, which also fixes the number of events that the relaxation follows; the prior's rates start
below 1; the networks are a choice of the configuration.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from lightning_gen.distributions.base import LatentDistribution
from lightning_gen.distributions.poisson import Poisson
from lightning_gen.errors import UserError
from lightning_gen.models.autoencoders.vae import VAE
from lightning_gen.models.hyperparameters import require_at_least, require_positive
from lightning_gen.noise import Noise


class Rates(nn.Module):
    """The learned log-rates of the prior, ``(D,)``."""

    def __init__(self, latent_dim: int) -> None:
        super().__init__()
        self.log_rate = nn.Parameter(torch.zeros(latent_dim))


class PoissonVAE(VAE):
    r"""A VAE whose latent vector is a vector of counts.

    .. math::
        p(z) = \mathrm{Poisson}(r), \qquad q(z|x) = \mathrm{Poisson}(r \odot \delta(x)), \qquad
        KL = \sum_d r_d\, (1 - \delta_d + \delta_d \log \delta_d)

    Args:
        data_shape: as for every :class:`GenerativeModel`.
        gradient: of the reconstruction term with respect to the rates: ``score_function`` or ``relaxed``.
        num_samples: k draws per image; ``score_function`` needs two.
        temperature: of the ``relaxed`` gradient, above 0; with ``score_function`` there is none, 0.
        temperature_images: the temperature falls linearly from 1 over so many images; 0 for a constant one.
        max_rate: no rate is above it; up to 500.
        posterior: over counts.
        kl_estimator: the KL, whose gradient needs no draws.
        **options: as for :class:`VAE`.
    """

    paper = "Vafaii, Galor & Yates 2024, arXiv:2405.14473"
    averaged_networks = (*VAE.averaged_networks, "prior_rates")

    def __init__(
        self,
        data_shape: list[int],
        gradient: Literal["score_function", "relaxed"] = "score_function",
        num_samples: int = 4,
        temperature: float = 0.0,
        temperature_images: int = 0,
        max_rate: float = 20.0,
        posterior: Literal["Poisson"] = "Poisson",
        kl_estimator: Literal["closed_form"] = "closed_form",
        **options: Any,
    ) -> None:
        super().__init__(data_shape, posterior=posterior, kl_estimator=kl_estimator, **options)
        require_at_least(2 if gradient == "score_function" else 1, num_samples=num_samples)
        require_at_least(0, temperature_images=temperature_images)
        require_positive(max_rate=max_rate)
        if max_rate > 500:
            raise UserError(f"model.max_rate: expected at most 500, got {max_rate}")
        self._check_temperature()
        self.num_events = likely_events(max_rate)
        self.prior_rates = Rates(self.latent_dim)

    def _check_temperature(self) -> None:
        relaxed, temperature = self.hparams.gradient == "relaxed", self.hparams.temperature
        if relaxed and not 0 < temperature <= 1:
            raise UserError(f"model.temperature: expected a number above 0 and at most 1 for the relaxed gradient, got {temperature}")
        if not relaxed and temperature:
            raise UserError(f"model.temperature: the score function has none; expected 0, got {temperature}")
        if not relaxed and self.hparams.temperature_images:
            raise UserError(f"model.temperature_images: the score function has none; expected 0, got {self.hparams.temperature_images}")

    # The distributions.

    def bounded(self, log_rate: Tensor) -> Poisson:
        """The Poisson distribution of a log-rate after a smooth minimum with that of the largest rate."""
        top = math.log(self.hparams.max_rate)
        return Poisson(top - softplus(top - log_rate))

    def infer(self, x: Tensor, labels: Tensor | None = None) -> Poisson:
        """q(z|x), its rates relative to the prior's."""
        relative = super().infer(x, labels)
        assert isinstance(relative, Poisson)
        return self.bounded(self.prior_rates.log_rate + relative.log_rate)

    def prior(self, labels: Tensor | None = None) -> LatentDistribution:
        """p(z)."""
        return self.bounded(self.prior_rates.log_rate)

    # Training.

    def negative_elbo(self, images: Tensor, labels: Tensor | None, noise: Noise) -> dict[str, Tensor]:
        """The loss, distortion and rate; nats per image, averaged over draws and batch. In training by relaxed draws they are no bound."""
        posterior = self.posterior(images, labels)
        z = self.draw(posterior.repeated(), noise)
        distortion = self.distortion(z, self.likelihood.target(images, noise), labels)
        rate = self.rate(posterior, z, labels)
        terms = self.objective(distortion.mean(), rate, posterior, z)
        if self.hparams.gradient == "score_function":
            terms["loss"] = terms["loss"] + self.score(distortion.detach(), posterior.repeated().log_prob(z))
        return terms | {"distortion": distortion.mean(), "rate": rate.mean(0).sum()}

    def draw(self, posterior: Poisson, noise: Noise) -> Tensor:
        """The k draws of each image, ``(B, k, D)``: counts, or softly counted events when training by them."""
        shape = (self.hparams.num_samples, self.latent_dim)
        if self.training and self.hparams.gradient == "relaxed":
            return posterior.relaxed_sample(noise, "z", shape, self.temperature, self.num_events)
        return posterior.sample(noise, "z", shape)

    def score(self, distortion: Tensor, log_q: Tensor) -> Tensor:
        r"""A term of value 0 with the gradient :math:`\frac1k \sum_i (d_i - \bar d_{-i})\, \nabla \log q(z_i|x)`, averaged over the batch.

        Args:
            distortion: d, ``(B, k)``, without gradient.
            log_q: log-mass of the draws, ``(B, k)``.
        """
        k = distortion.shape[1]
        # d_i less the mean of the others is k / (k - 1) times d_i less the mean of all.
        advantage = (distortion - distortion.mean(1, keepdim=True)) * k / (k - 1)
        return (advantage * (log_q - log_q.detach())).mean()

    @property
    def temperature(self) -> float:
        """The temperature of the relaxation at the images seen."""
        span = self.hparams.temperature_images
        done = min(1.0, self.images_seen / span) if span else 1.0
        return 1 + done * (self.hparams.temperature - 1)


def likely_events(rate: float) -> int:
    """How many events of a Poisson process of this rate have to be followed so that more occur with a probability below 1e-6."""
    count, mass = 0, math.exp(-rate)
    left = 1 - mass
    while left > 1e-6:
        count += 1
        mass *= rate / count
        left -= mass
    return count
