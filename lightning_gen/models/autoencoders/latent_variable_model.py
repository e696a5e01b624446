r"""What all models :math:`p(x) = \int p(x|z)\,p(z)\,dz` with a decoder share; how they are trained, and whether they infer z, is theirs."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from lightning_gen.distributions.base import LatentDistribution
from lightning_gen.distributions.likelihoods import Likelihood
from lightning_gen.distributions.normal import DiagonalNormal
from lightning_gen.models.base import Batch, GenerativeModel
from lightning_gen.models.hyperparameters import require_at_least, require_positive
from lightning_gen.models.sampling import SamplesFromNoise
from lightning_gen.nn.base import Decoder
from lightning_gen.noise import Noise
from lightning_gen.registry import ClassSpec, build

SAMPLES_AT_ONCE = 32
"""Draws of z per image that are decoded together; part of the noise's names, so changing it changes k-sample estimates."""


class LatentVariableModel(GenerativeModel, SamplesFromNoise):
    r"""A prior p(z) and a likelihood p(x|z) whose parameters a decoder computes.

    Args:
        data_shape: as for every :class:`GenerativeModel`.
        latent_dim: length of z.
        likelihood: family of p(x|z), a spec of a :class:`~lightning_gen.distributions.likelihoods.Likelihood`.
        observation_noise: whether samples are draws from p(x|z); otherwise its mean is shown.
        learning_rate: Adam's.
        adam_epsilon: Adam's.
        decay_images: the learning rate falls linearly to zero over so many images; 0 for a constant rate.
        **data: the rest of what describes the data, and ``conditional``, as for every :class:`GenerativeModel`.
    """

    family = "autoencoder"
    density = "explicit bound"
    averaged_networks = ("decoder", "likelihood")
    decoder: Decoder

    def __init__(
        self,
        data_shape: list[int],
        latent_dim: int = 50,
        likelihood: ClassSpec | str = "Gaussian",
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

    def build_decoder(self, spec: ClassSpec | str, latent_dim: int) -> Decoder:
        """The network of p(x|z): z to the parameters of the likelihood."""
        shape = self.likelihood.parameter_shape
        return build(spec, Decoder, "model.decoder", in_features=latent_dim, out_shape=shape, labels=self.label_kind)

    @property
    def latent_dim(self) -> int:
        """Length D of z, all its parts together."""
        return sum(math.prod(shape) for shape in self.latent_shapes.values())

    # The distributions.

    def prior(self, labels: Tensor | None = None) -> LatentDistribution:
        """p(z), without a batch; with one only where it depends on the labels."""
        return DiagonalNormal.standard()

    def likelihood_parameters(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """What the decoder says of z ``(B, D)``: the parameters of p(x|z), ``(B, *parameter_shape)``."""
        return self.decoder(z, labels)

    def distortion(self, z: Tensor, target: Tensor, labels: Tensor | None) -> Tensor:
        """-log p(x|z) in nats, ``(B, k)``, of k draws for each image ``(B, k, D)``.

        Args:
            z: the draws.
            target: the images as the likelihood scores them.
            labels: of a conditional model.
        """
        repeated = None if labels is None else labels.repeat_interleave(z.shape[1], dim=0)
        parameters = self.likelihood_parameters(z.flatten(0, 1), repeated).unflatten(0, z.shape[:2])
        return -self.likelihood.log_prob(parameters, target.unsqueeze(1))

    # Training.

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        terms = self.validation_terms(batch, self.step_noise(batch))
        self.log_terms(terms)
        return terms["loss"]

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.trained_parameters(), lr=self.hparams.learning_rate, eps=self.hparams.adam_epsilon)

    # Samples.

    def likelihood_kind(self, num_samples: int = 1) -> str:
        """A bound whatever the number of samples."""
        return "lower bound" if num_samples == 1 else "k-sample bound"

    def draw_latents(self, noise: Noise, *, labels: Tensor | None = None) -> Tensor:
        """Draws of z from the prior, ``(B, D)``."""
        return self.prior(labels).sample(noise, "z", (self.latent_dim,))

    def sample_images(self, noise: Noise, *, labels: Tensor | None = None) -> Tensor:
        """Images of z drawn from the prior: the mean of p(x|z), or a draw of it with ``observation_noise``."""
        parameters = self.likelihood_parameters(self.draw_latents(noise, labels=labels), labels)
        return self.likelihood.sample(parameters, noise) if self.hparams.observation_noise else self.likelihood.mean(parameters)

    def decode(self, z: Tensor, *, labels: Tensor | None = None) -> Tensor:
        """The mean of p(x|z), uint8."""
        return self.likelihood.mean(self.likelihood_parameters(z, self.condition(labels)))

    def answer_options(self) -> dict[str, object]:
        return {"observation_noise": self.hparams.observation_noise}


def portions(num_samples: int) -> Iterator[tuple[str, int]]:
    """``num_samples`` draws in portions that are decoded together: the name of each portion's noise, and how many draws it has."""
    for start in range(0, num_samples, SAMPLES_AT_ONCE):
        yield f"z/{start}", min(SAMPLES_AT_ONCE, num_samples - start)


def log_mean_exp(log_weights: Tensor) -> Tensor:
    r""":math:`\log \frac1k \sum_i w_i`, ``(B, k)`` to ``(B,)``."""
    return torch.logsumexp(log_weights, dim=1) - math.log(log_weights.shape[1])
