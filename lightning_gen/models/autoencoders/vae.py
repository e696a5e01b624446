r"""The variational autoencoder (Kingma & Welling, 2013, arXiv:1312.6114; Rezende et al., 2014, arXiv:1401.4082).

Implemented: diagonal or full-covariance Gaussian posterior, standard normal prior, the KL in closed form or by the same Monte Carlo draw,
any :class:`~lightning_gen.distributions.likelihoods.Likelihood`, warm-up of the KL (Bowman et al., 2015, arXiv:1511.06349), free bits
(Kingma et al., 2016, arXiv:1606.04934), and the k-sample bound for evaluation. Deviation: the paper's AEVB optimises with Adagrad and one
hidden layer of 500; Adam is the field's default and the networks are a choice of the configuration.
"""

from __future__ import annotations

import math
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from lightning_gen import images as pixels
from lightning_gen.distributed import global_mean
from lightning_gen.distributions.base import LatentDistribution
from lightning_gen.distributions.likelihoods import Likelihood
from lightning_gen.distributions.normal import DiagonalNormal
from lightning_gen.models.base import Batch, GenerativeModel
from lightning_gen.models.hyperparameters import require_at_least, require_positive
from lightning_gen.models.sampling import SamplesFromNoise
from lightning_gen.nn.base import Decoder, Encoder
from lightning_gen.noise import Noise
from lightning_gen.registry import ClassSpec, build, resolve

SAMPLES_AT_ONCE = 32
"""Importance samples per image that are decoded together; part of the noise's names, so changing it changes k-sample estimates."""


class Explanation(NamedTuple):
    """k draws of z for each image, and what each costs; minus their sum is the log-weight log p(x, z) - log q(z|x)."""

    distortion: Tensor
    """-log p(x|z) in nats, ``(B, k)``."""
    rate: Tensor
    """log q(z|x) - log p(z) in nats, ``(B, k)``."""

    @property
    def log_weights(self) -> Tensor:
        """log p(x, z) - log q(z|x), ``(B, k)``."""
        return -(self.distortion + self.rate)


class VAE(GenerativeModel, SamplesFromNoise):
    r"""Variational autoencoder: maximises the evidence lower bound.

    .. math:: \log p(x) \ge E_{q(z|x)}[\log p(x|z)] - KL(q(z|x) \| p(z))

    Args:
        data_shape: as for every :class:`GenerativeModel`.
        latent_dim: length of z.
        encoder: network of q(z|x), a spec of an :class:`~lightning_gen.nn.base.Encoder`.
        decoder: network of p(x|z), a spec of a :class:`~lightning_gen.nn.base.Decoder`.
        likelihood: family of p(x|z), a spec of a :class:`~lightning_gen.distributions.likelihoods.Likelihood`.
        posterior: family of q(z|x): ``DiagonalNormal`` or ``FullNormal``.
        kl_estimator: the KL in closed form, or estimated by the draw of z that the reconstruction uses; equal in expectation.
        kl_warmup_images: the weight of the KL in the objective rises linearly from 0 to 1 over so many images; 0 for 1 from the start.
        free_bits: nats of the KL that cost nothing, for each term into which it splits (each dimension of z where it does), on the average
            over the global batch.
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
        posterior: str = "DiagonalNormal",
        kl_estimator: Literal["closed_form", "monte_carlo"] = "closed_form",
        kl_warmup_images: int = 0,
        free_bits: float = 0.0,
        observation_noise: bool = False,
        learning_rate: float = 1e-3,
        adam_epsilon: float = 1e-8,
        decay_images: int = 0,
        **data: Any,
    ) -> None:
        super().__init__(data_shape, **data)
        require_at_least(1, latent_dim=latent_dim)
        require_at_least(0, decay_images=decay_images, kl_warmup_images=kl_warmup_images, free_bits=free_bits)
        require_positive(learning_rate=learning_rate, adam_epsilon=adam_epsilon)
        self.latent_shapes = {"z": (latent_dim,)}
        self.posterior_family = resolve(posterior, LatentDistribution, "model.posterior")
        self.likelihood = build(likelihood, Likelihood, "model.likelihood", data_shape=self.data_shape, num_bits=self.num_bits)
        self.encoder = self.build_encoder(encoder, latent_dim)
        self.decoder = self.build_decoder(decoder, latent_dim)

    def build_encoder(self, spec: ClassSpec | str, latent_dim: int) -> Encoder:
        """The network of q(z|x): x to the parameters of the posterior."""
        width = self.posterior_family.num_parameters(latent_dim)
        return build(spec, Encoder, "model.encoder", data_shape=self.data_shape, out_features=width, labels=self.label_kind)

    def build_decoder(self, spec: ClassSpec | str, latent_dim: int) -> Decoder:
        """The network of p(x|z): z to the parameters of the likelihood."""
        shape = self.likelihood.parameter_shape
        return build(spec, Decoder, "model.decoder", in_features=latent_dim, out_shape=shape, labels=self.label_kind)

    @property
    def latent_dim(self) -> int:
        """Length D of z, all its parts together."""
        return sum(math.prod(shape) for shape in self.latent_shapes.values())

    # The distributions.

    def posterior(self, images: Tensor, labels: Tensor | None = None) -> LatentDistribution:
        """q(z|x)."""
        x = pixels.to_unit(images) if pixels.is_image(self.data_shape) else images
        parameters = self.encoder(x, labels)
        # Densities in float32 at least, whatever the network ran in.
        return self.posterior_family.from_parameters(parameters.to(torch.promote_types(parameters.dtype, torch.float32)))

    def prior(self, labels: Tensor | None = None) -> LatentDistribution:
        """p(z), without a batch; with one only where it depends on the labels."""
        return DiagonalNormal.standard()

    def likelihood_parameters(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """What the decoder says of z ``(B, D)``: the parameters of p(x|z), ``(B, *parameter_shape)``."""
        return self.decoder(z, labels)

    # Training.

    def negative_elbo(self, images: Tensor, labels: Tensor | None, noise: Noise) -> dict[str, Tensor]:
        """The loss, and distortion and rate whose sum is the negative ELBO; nats per image, averaged over the batch."""
        posterior = self.posterior(images, labels)
        z = posterior.sample(noise, "z", (self.latent_dim,))
        distortion = -self.likelihood.log_prob(self.likelihood_parameters(z, labels), self.likelihood.target(images, noise)).mean()
        rate = self.rate(posterior, z, labels)
        return {"loss": distortion + self.price(rate), "distortion": distortion, "rate": rate.mean(0).sum()}

    def rate(self, posterior: LatentDistribution, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """KL(q(z|x) || p(z)) in nats by the estimator that was asked for, in the terms into which it splits: ``(B, G)``."""
        prior = self.prior(labels)
        if self.hparams.kl_estimator == "closed_form":
            return posterior.kl_terms(prior)
        return (posterior.log_prob(z) - prior.log_prob(z)).unsqueeze(-1)

    def price(self, rate: Tensor) -> Tensor:
        """What the objective charges for a rate ``(B, G)``: each term's mean, at least the free bits, times the weight of the warm-up."""
        terms = rate.mean(0)
        if self.hparams.free_bits:
            # The comparison is with the mean of the global batch; the gradient of that mean is the ranks' mean of these.
            known = global_mean(terms.detach()) if self.training else terms.detach()
            terms = torch.where(known > self.hparams.free_bits, terms, torch.full_like(terms, self.hparams.free_bits))
        return self.kl_weight * terms.sum()

    @property
    def kl_weight(self) -> float:
        """The weight of the KL at the images seen."""
        warmup = self.hparams.kl_warmup_images
        return min(1.0, self.images_seen / warmup) if warmup else 1.0

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        terms = self.validation_terms(batch, self.step_noise(batch))
        self.log_terms(terms)
        return terms["loss"]

    def validation_terms(self, batch: Batch, noise: Noise) -> dict[str, Tensor]:
        """The terms of the loss on a batch."""
        return self.negative_elbo(batch[0], self.labels_of(batch), noise)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.trained_parameters(), lr=self.hparams.learning_rate, eps=self.hparams.adam_epsilon)

    # Likelihood.

    def log_prob(self, images: Tensor, *, labels: Tensor | None = None, noise: Noise, num_samples: int = 1) -> Tensor:
        r"""The k-sample bound :math:`\log \frac1k \sum_i p(x, z_i) / q(z_i|x)`, nats ``(B,)`` (Burda et al., 2015, arXiv:1509.00519)."""
        labels = self.condition(labels)
        posterior = self.posterior(images, labels)
        target = self.likelihood.target(images, noise)
        log_weights = []
        for start in range(0, num_samples, SAMPLES_AT_ONCE):
            k = min(SAMPLES_AT_ONCE, num_samples - start)
            log_weights.append(self.explain(posterior, target, labels, noise, f"z/{start}", k).log_weights)
        return torch.logsumexp(torch.cat(log_weights, dim=1), dim=1) - math.log(num_samples)

    def explain(
        self, posterior: LatentDistribution, target: Tensor, labels: Tensor | None, noise: Noise, name: str, num_samples: int
    ) -> Explanation:
        """Draws k times from each image's posterior, by the noise called ``name``, and says how well each draw explains the image.

        Args:
            posterior: q(z|x), ``(B, D)``.
            target: the images as the likelihood scores them.
            labels: of a conditional model.
            noise, name: of the draws.
            num_samples: k.
        """
        posterior = posterior.repeated()
        return self.weigh(posterior.sample(noise, name, (num_samples, self.latent_dim)), posterior, target, labels)

    def weigh(self, z: Tensor, posterior: LatentDistribution, target: Tensor, labels: Tensor | None) -> Explanation:
        """What draws ``(B, k, D)`` from a :meth:`~LatentDistribution.repeated` posterior cost."""
        repeated = None if labels is None else labels.repeat_interleave(z.shape[1], dim=0)
        parameters = self.likelihood_parameters(z.flatten(0, 1), repeated).unflatten(0, z.shape[:2])
        distortion = -self.likelihood.log_prob(parameters, target.unsqueeze(1))
        return Explanation(distortion, posterior.log_prob(z) - self.prior(labels).repeated().log_prob(z))

    def likelihood_kind(self, num_samples: int = 1) -> str:
        """A bound whatever the number of samples."""
        return "lower bound" if num_samples == 1 else "k-sample bound"

    # Samples, latents, reconstructions.

    def draw_latents(self, noise: Noise, *, labels: Tensor | None = None) -> Tensor:
        """Draws of z from the prior, ``(B, D)``."""
        return self.prior(labels).sample(noise, "z", (self.latent_dim,))

    def sample_images(self, noise: Noise, *, labels: Tensor | None = None) -> Tensor:
        """Images of z drawn from the prior: the mean of p(x|z), or a draw of it with ``observation_noise``."""
        parameters = self.likelihood_parameters(self.draw_latents(noise, labels=labels), labels)
        return self.likelihood.sample(parameters, noise) if self.hparams.observation_noise else self.likelihood.mean(parameters)

    def encode(self, images: Tensor, *, labels: Tensor | None = None) -> Tensor:
        """The mean of q(z|x), ``(B, D)``."""
        return self.posterior(images, self.condition(labels)).mean

    def decode(self, z: Tensor, *, labels: Tensor | None = None) -> Tensor:
        """The mean of p(x|z), uint8."""
        return self.likelihood.mean(self.likelihood_parameters(z, self.condition(labels)))

    def reconstruct(self, images: Tensor, *, labels: Tensor | None = None) -> Tensor:
        """``decode(encode(images))``."""
        return self.decode(self.encode(images, labels=labels), labels=labels)

    def answer_options(self) -> dict[str, object]:
        return {"observation_noise": self.hparams.observation_noise}
