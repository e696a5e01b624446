r"""The variational autoencoder (Kingma & Welling, 2013, arXiv:1312.6114; Rezende et al., 2014, arXiv:1401.4082).

Implemented: diagonal Gaussian posterior, standard normal prior, the KL in closed form or by the same Monte Carlo draw, any
:class:`~lightning_gen.distributions.likelihoods.Likelihood`, and the k-sample bound for evaluation. Deviation: the paper's AEVB
optimises with Adagrad and one hidden layer of 500; Adam is the field's default and the networks are a choice of the configuration.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from torch import Tensor

from lightning_gen import images as pixels
from lightning_gen.distributions.likelihoods import Likelihood
from lightning_gen.distributions.normal import DiagonalNormal
from lightning_gen.models.base import Batch, GenerativeModel
from lightning_gen.models.hyperparameters import require_at_least, require_positive
from lightning_gen.models.sampling import SamplesFromNoise
from lightning_gen.nn.base import Decoder, Encoder
from lightning_gen.noise import Noise
from lightning_gen.registry import ClassSpec, build

SAMPLES_AT_ONCE = 32
"""Importance samples per image that are decoded together; part of the noise's names, so changing it changes k-sample estimates."""


class VAE(GenerativeModel, SamplesFromNoise):
    r"""Variational autoencoder: maximises the evidence lower bound.

    .. math:: \log p(x) \ge E_{q(z|x)}[\log p(x|z)] - KL(q(z|x) \| p(z))

    Args:
        data_shape: as for every :class:`GenerativeModel`.
        latent_dim: length of z.
        encoder: network of q(z|x), a spec of an :class:`~lightning_gen.nn.base.Encoder`.
        decoder: network of p(x|z), a spec of a :class:`~lightning_gen.nn.base.Decoder`.
        likelihood: family of p(x|z), a spec of a :class:`~lightning_gen.distributions.likelihoods.Likelihood`.
        kl_estimator: the KL in closed form, or estimated by the draw of z that the reconstruction uses; equal in expectation.
        observation_noise: whether samples are draws from p(x|z); otherwise its mean is shown.
        learning_rate: Adam's.
        adam_epsilon: Adam's.
        decay_images: the learning rate falls linearly to zero over so many images; 0 for a constant rate.
        **data: the rest of what describes the data, and ``conditional``, as for every :class:`GenerativeModel`.
    """

    family = "autoencoder"
    density = "explicit bound"
    paper = "Kingma & Welling 2013, arXiv:1312.6114"
    averaged_networks = ("encoder", "decoder", "likelihood")

    def __init__(
        self,
        data_shape: list[int],
        latent_dim: int = 50,
        encoder: ClassSpec | str = "MLPEncoder",
        decoder: ClassSpec | str = "MLPDecoder",
        likelihood: ClassSpec | str = "Gaussian",
        kl_estimator: Literal["closed_form", "monte_carlo"] = "closed_form",
        observation_noise: bool = False,
        learning_rate: float = 1e-3,
        adam_epsilon: float = 1e-8,
        decay_images: int = 0,
        **data: Any,
    ) -> None:
        super().__init__(data_shape, **data)
        require_at_least(1, latent_dim=latent_dim)
        require_at_least(0, decay_images=decay_images)
        require_positive(learning_rate=learning_rate, adam_epsilon=adam_epsilon)
        self.latent_shapes = {"z": (latent_dim,)}
        self.likelihood = build(likelihood, Likelihood, "model.likelihood", data_shape=self.data_shape, num_bits=self.num_bits)
        self.encoder = self.build_encoder(encoder, latent_dim)
        self.decoder = self.build_decoder(decoder, latent_dim)

    def build_encoder(self, spec: ClassSpec | str, latent_dim: int) -> Encoder:
        """The network of q(z|x): x to the mean and log-scale of z, ``(B, 2 D)``."""
        return build(spec, Encoder, "model.encoder", data_shape=self.data_shape, out_features=2 * latent_dim, labels=self.label_kind)

    def build_decoder(self, spec: ClassSpec | str, latent_dim: int) -> Decoder:
        """The network of p(x|z): z to the parameters of the likelihood."""
        shape = self.likelihood.parameter_shape
        return build(spec, Decoder, "model.decoder", in_features=latent_dim, out_shape=shape, labels=self.label_kind)

    def posterior(self, images: Tensor, labels: Tensor | None = None) -> DiagonalNormal:
        """q(z|x)."""
        x = pixels.to_unit(images) if pixels.is_image(self.data_shape) else images
        parameters = self.encoder(x, labels)
        parameters = parameters.to(torch.promote_types(parameters.dtype, torch.float32))
        mean, log_scale = parameters.chunk(2, dim=-1)
        return DiagonalNormal(mean, log_scale)

    def prior(self, posterior: DiagonalNormal) -> DiagonalNormal:
        """p(z), in the shape of the posterior."""
        return DiagonalNormal.standard_like(posterior)

    def negative_elbo(self, images: Tensor, labels: Tensor | None, noise: Noise) -> dict[str, Tensor]:
        """The loss and its two parts, in nats per image: summed over pixels, averaged over the batch."""
        posterior = self.posterior(images, labels)
        z = posterior.transform(noise.normal("z", self.latent_shapes["z"]))
        distortion = -self.likelihood.log_prob(self.decoder(z, labels), self.likelihood.target(images, noise))
        rate = self.kl(posterior, z)
        return {"loss": (distortion + rate).mean(), "distortion": distortion.mean(), "rate": rate.mean()}

    def kl(self, posterior: DiagonalNormal, z: Tensor) -> Tensor:
        """KL(q(z|x) || p(z)) in nats, ``(B,)``, by the estimator that was asked for."""
        prior = self.prior(posterior)
        if self.hparams.kl_estimator == "closed_form":
            return posterior.kl(prior)
        return posterior.log_prob(z) - prior.log_prob(z)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        terms = self.validation_terms(batch, self.step_noise(batch))
        self.log_terms(terms)
        return terms["loss"]

    def validation_terms(self, batch: Batch, noise: Noise) -> dict[str, Tensor]:
        """The terms of the loss on a batch."""
        return self.negative_elbo(batch[0], self.labels_of(batch), noise)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.trained_parameters(), lr=self.hparams.learning_rate, eps=self.hparams.adam_epsilon)

    def log_prob(self, images: Tensor, *, labels: Tensor | None = None, noise: Noise, num_samples: int = 1) -> Tensor:
        r"""The k-sample bound :math:`\log \frac1k \sum_i p(x, z_i) / q(z_i|x)`, nats ``(B,)`` (Burda et al., 2015, arXiv:1509.00519)."""
        labels = self.condition(labels)
        posterior = self.posterior(images, labels)
        target = self.likelihood.target(images, noise).unsqueeze(1)
        chunks = range(0, num_samples, SAMPLES_AT_ONCE)
        log_weights = [self._log_weights(posterior, target, labels, noise, start, num_samples) for start in chunks]
        return torch.logsumexp(torch.cat(log_weights, dim=1), dim=1) - math.log(num_samples)

    def _log_weights(
        self, posterior: DiagonalNormal, target: Tensor, labels: Tensor | None, noise: Noise, start: int, num_samples: int
    ) -> Tensor:
        """log p(x, z) - log q(z|x) of some importance samples, ``(B, k)``."""
        k = min(SAMPLES_AT_ONCE, num_samples - start)
        epsilon = noise.normal(f"z/{start}", (k, *self.latent_shapes["z"]))  # (B, k, D)
        posterior = DiagonalNormal(posterior.mean.unsqueeze(1), posterior.log_scale.unsqueeze(1))
        z = posterior.transform(epsilon)
        repeated = None if labels is None else labels.repeat_interleave(k, dim=0)
        parameters = self.decoder(z.flatten(0, 1), repeated).unflatten(0, (len(z), k))
        return self.likelihood.log_prob(parameters, target) + self.prior(posterior).log_prob(z) - posterior.log_prob(z)

    def likelihood_kind(self, num_samples: int = 1) -> str:
        """A bound whatever the number of samples."""
        return "lower bound" if num_samples == 1 else "k-sample bound"

    def sample_images(self, noise: Noise, *, labels: Tensor | None = None) -> Tensor:
        """Images of z drawn from the prior: the mean of p(x|z), or a draw of it with ``observation_noise``."""
        z = noise.normal("z", self.latent_shapes["z"])
        parameters = self.decoder(z, labels)
        return self.likelihood.sample(parameters, noise) if self.hparams.observation_noise else self.likelihood.mean(parameters)

    def encode(self, images: Tensor, *, labels: Tensor | None = None) -> Tensor:
        """The mean of q(z|x), ``(B, D)``."""
        return self.posterior(images, self.condition(labels)).mean

    def decode(self, z: Tensor, *, labels: Tensor | None = None) -> Tensor:
        """The mean of p(x|z), uint8."""
        return self.likelihood.mean(self.decoder(z, self.condition(labels)))

    def reconstruct(self, images: Tensor, *, labels: Tensor | None = None) -> Tensor:
        """``decode(encode(images))``."""
        return self.decode(self.encode(images, labels=labels), labels=labels)

    def answer_options(self) -> dict[str, object]:
        return {"observation_noise": self.hparams.observation_noise}
