r"""The variational autoencoder (Kingma & Welling, 2013, arXiv:1312.6114; Rezende et al., 2014, arXiv:1401.4082).

Implemented: diagonal or full-covariance Gaussian posterior, standard normal prior, the KL in closed form or by the same Monte Carlo draw,
any :class:`~lightning_gen.distributions.likelihoods.Likelihood`, warm-up of the KL (Bowman et al., 2015, arXiv:1511.06349), free bits
(Kingma et al., 2016, arXiv:1606.04934), and the k-sample bound for evaluation. Deviation: the paper's AEVB optimises with Adagrad and one
hidden layer of 500; Adam is the field's default and the networks are a choice of the configuration.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from lightning_gen import images as pixels
from lightning_gen.distributed import global_mean
from lightning_gen.distributions.base import LatentDistribution
from lightning_gen.models.autoencoders.latent_variable_model import LatentVariableModel, log_mean_exp, portions
from lightning_gen.models.base import Batch
from lightning_gen.models.hyperparameters import require_at_least
from lightning_gen.nn.base import Encoder
from lightning_gen.noise import Noise
from lightning_gen.registry import ClassSpec, build, resolve


class Explanation(NamedTuple):
    """k draws of z for each image, and what each costs; minus their sum is the log-weight log p(x, z) - log q(z|x)."""

    distortion: Tensor
    """-log p(x|z) in nats, ``(B, k)``."""
    rate_terms: Tensor
    """log q(z|x) - log p(z) in nats, in the terms into which it splits: ``(B, k, G)``."""

    @property
    def rate(self) -> Tensor:
        """log q(z|x) - log p(z) in nats, ``(B, k)``."""
        return self.rate_terms.sum(-1)

    @property
    def log_weights(self) -> Tensor:
        """log p(x, z) - log q(z|x), ``(B, k)``."""
        return -(self.distortion + self.rate)


class VAE(LatentVariableModel):
    r"""Variational autoencoder: maximises the evidence lower bound.

    .. math:: \log p(x) \ge E_{q(z|x)}[\log p(x|z)] - KL(q(z|x) \| p(z))

    Args:
        data_shape: as for every :class:`GenerativeModel`.
        latent_dim: length of z.
        encoder: network of q(z|x), a spec of an :class:`~lightning_gen.nn.base.Encoder`.
        decoder: network of p(x|z), a spec of a :class:`~lightning_gen.nn.base.Decoder`.
        posterior: family of q(z|x): ``DiagonalNormal`` or ``FullNormal``.
        kl_estimator: the KL in closed form, or estimated by the draw of z that the reconstruction uses; equal in expectation.
        kl_warmup_images: the weight of the KL in the objective rises linearly from 0 to 1 over so many images; 0 for 1 from the start.
        free_bits: nats of the KL that cost nothing, for each term into which it splits (each dimension of z where it does), on the average
            over the global batch.
        **options: as for :class:`LatentVariableModel`: likelihood, optimiser, and what describes the data.
    """

    paper = "Kingma & Welling 2013, arXiv:1312.6114"
    averaged_networks = ("encoder", "decoder", "likelihood")

    def __init__(
        self,
        data_shape: list[int],
        latent_dim: int = 50,
        encoder: ClassSpec | str = "MLPEncoder",
        decoder: ClassSpec | str = "MLPDecoder",
        posterior: Literal["DiagonalNormal", "FullNormal"] = "DiagonalNormal",
        kl_estimator: Literal["closed_form", "monte_carlo"] = "closed_form",
        kl_warmup_images: int = 0,
        free_bits: float = 0.0,
        **options: Any,
    ) -> None:
        super().__init__(data_shape, latent_dim, **options)
        require_at_least(0, kl_warmup_images=kl_warmup_images, free_bits=free_bits)
        self.posterior_family = resolve(posterior, LatentDistribution, "model.posterior")
        self.encoder = self.build_encoder(encoder, latent_dim)
        self.decoder = self.build_decoder(decoder, latent_dim)

    def build_encoder(self, spec: ClassSpec | str, latent_dim: int) -> Encoder:
        """The network of q(z|x): x to the parameters of the posterior."""
        width = self.posterior_family.num_parameters(latent_dim)
        return build(spec, Encoder, "model.encoder", data_shape=self.data_shape, out_features=width, labels=self.label_kind)

    # The distributions.

    def posterior(self, images: Tensor, labels: Tensor | None = None) -> LatentDistribution:
        """q(z|x)."""
        return self.infer(pixels.to_input(images, self.data_shape, self.dtype), labels)

    def infer(self, x: Tensor, labels: Tensor | None = None) -> LatentDistribution:
        """q(z|x) of images in the unit range, as the encoder takes them."""
        parameters = self.encoder(x, labels)
        # Densities in float32 at least, whatever the network ran in.
        return self.posterior_family.from_parameters(parameters.to(torch.promote_types(parameters.dtype, torch.float32)))

    # Training.

    def negative_elbo(self, images: Tensor, labels: Tensor | None, noise: Noise) -> dict[str, Tensor]:
        """The loss, and distortion and rate whose sum is the negative ELBO; nats per image, averaged over the batch."""
        posterior = self.posterior(images, labels)
        z = posterior.sample(noise, "z", (self.latent_dim,))
        distortion = -self.likelihood.log_prob(self.likelihood_parameters(z, labels), self.likelihood.target(images, noise)).mean()
        rate = self.rate(posterior, z, labels)
        return self.objective(distortion, rate, posterior, z) | {"distortion": distortion, "rate": rate.mean(0).sum()}

    def objective(self, distortion: Tensor, rate: Tensor, posterior: LatentDistribution, z: Tensor) -> dict[str, Tensor]:
        """The loss of a mean distortion, a rate ``(B, G)`` and the draws ``(B, D)`` behind them, with further terms to log."""
        return {"loss": distortion + self.price(rate)}

    def rate(self, posterior: LatentDistribution, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """KL(q(z|x) || p(z)) in nats by the estimator that was asked for, in the terms into which it splits: ``(B, G)``."""
        prior = self.prior(labels)
        if self.hparams.kl_estimator == "closed_form":
            return posterior.kl_terms(prior)
        return self.log_ratio(z, posterior, prior)

    def log_ratio(self, z: Tensor, posterior: LatentDistribution, prior: LatentDistribution) -> Tensor:
        """log q(z|x) - log p(z) in nats, in the terms into which it splits: ``(..., G)``."""
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

    def validation_terms(self, batch: Batch, noise: Noise) -> dict[str, Tensor]:
        """The terms of the loss on a batch."""
        return self.negative_elbo(batch[0], self.labels_of(batch), noise)

    # Likelihood.

    def log_prob(self, images: Tensor, *, labels: Tensor | None = None, noise: Noise, num_samples: int = 1) -> Tensor:
        r"""The k-sample bound :math:`\log \frac1k \sum_i p(x, z_i) / q(z_i|x)`, nats ``(B,)`` (Burda et al., 2015, arXiv:1509.00519)."""
        labels = self.condition(labels)
        posterior, prior = self.posterior(images, labels).repeated(), self.prior(labels).repeated()
        target = self.likelihood.target(images, noise)
        log_weights = []
        for name, k in portions(num_samples):
            z = posterior.sample(noise, name, (k, self.latent_dim))
            log_weights.append(self.weigh(z, posterior, prior, target, labels).log_weights)
        return log_mean_exp(torch.cat(log_weights, dim=1))

    def weigh(
        self, z: Tensor, posterior: LatentDistribution, prior: LatentDistribution, target: Tensor, labels: Tensor | None
    ) -> Explanation:
        """What draws from a posterior cost.

        Args:
            z: the draws, ``(B, k, D)``.
            posterior, prior: q(z|x) and p(z), :meth:`~LatentDistribution.repeated`.
            target: the images as the likelihood scores them.
            labels: of a conditional model.
        """
        return Explanation(self.distortion(z, target, labels), self.log_ratio(z, posterior, prior))

    # Latents and reconstructions.

    def encode(self, images: Tensor, *, labels: Tensor | None = None) -> Tensor:
        """The mean of q(z|x), ``(B, D)``."""
        return self.posterior(images, self.condition(labels)).mean

    def reconstruct(self, images: Tensor, *, labels: Tensor | None = None) -> Tensor:
        """``decode(encode(images))``."""
        return self.decode(self.encode(images, labels=labels), labels=labels)
