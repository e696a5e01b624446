r"""What all flows share: dequantization, change of variables, maximum likelihood. A paper is a bijection and the noise that it maps to."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from lightning_gen import images as pixels
from lightning_gen.bijections.base import Bijection
from lightning_gen.bijections.normalization import BatchNormalization
from lightning_gen.distributions.base import LatentDistribution
from lightning_gen.distributions.normal import DiagonalNormal
from lightning_gen.errors import UserError
from lightning_gen.models.base import Batch
from lightning_gen.models.flows.dequantization import Dequantization, NoDequantization
from lightning_gen.models.maximum_likelihood import MaximumLikelihoodModel
from lightning_gen.nn.base import LabelEmbedding
from lightning_gen.noise import NamedNoise, Noise
from lightning_gen.registry import ClassSpec, as_spec, build, class_path

USES = 8
"""Graphs that one network may need: for training and evaluation, and the sizes of their batches."""


class NormalizingFlow(MaximumLikelihoodModel):
    r"""An invertible map f from dequantized images y to noise z of the same size, trained by maximum likelihood.

    .. math:: \log p(y) = \log p_z(f(y)) + \log\left|\det \frac{\partial f}{\partial y}\right|

    Of images this gives a lower bound on the log-mass of the bytes (see :mod:`~lightning_gen.models.flows.dequantization`), tighter with
    more draws of the noise that is added; of vectors the exact log-density.

    Args:
        data_shape: as for every :class:`MaximumLikelihoodModel`.
        dequantization: of images, a spec of a :class:`~lightning_gen.models.flows.dequantization.Dequantization`; vectors need none.
        temperature: samples are decoded from z of the prior times this; 1 samples the model, less its more likely images.
        **options: the rest, as for every :class:`MaximumLikelihoodModel`.
    """

    family = "flow"
    density = "explicit exact"
    averaged_networks: tuple[str, ...] = ("bijection", "dequantization", "embedding")
    data_dependent = ("bijection", "dequantization")
    takes_labels = False

    def __init__(
        self,
        data_shape: list[int],
        dequantization: ClassSpec | str = "UniformDequantization",
        temperature: float = 1.0,
        **options: Any,
    ) -> None:
        super().__init__(data_shape, **options)
        self.set_temperature(temperature)
        self.latent_shapes: dict[str, tuple[int, ...]] = {"z": (math.prod(self.data_shape),)}
        spec = as_spec(dequantization, "model.dequantization")
        if not pixels.is_image(self.data_shape):
            if spec["class_path"].rpartition(".")[2] != "UniformDequantization":
                raise UserError(f"model.dequantization: vectors are not dequantized; expected nothing, got {spec['class_path']}")
            spec = {"class_path": class_path(NoDequantization)}
        self.dequantization = build(spec, Dequantization, "model.dequantization", data_shape=self.data_shape, num_bits=self.num_bits)
        self.embedding = LabelEmbedding(self.label_kind)
        self.bijection = self.build_bijection()

    def build_bijection(self) -> Bijection:
        """f: dequantized images in [0, 1] (vectors as they are) to flat noise ``(B, D)``; may set :attr:`latent_shapes` too."""
        raise NotImplementedError(f"{type(self).__name__} has to implement build_bijection")

    def prior(self, labels: Tensor | None = None) -> LatentDistribution:
        """The noise that the bijection maps to."""
        return DiagonalNormal.standard()

    # Training.

    def negative_log_likelihood(self, batch: Batch, noise: Noise) -> dict[str, Tensor]:
        """The loss in nats per dimension, so that clipping means the same at every size, and its terms in nats per image."""
        y, log_q = self.dequantization(batch[0], noise)
        z, log_det = self.bijection(y, self.context(self.labels_of(batch)), noise)
        log_prior = self.prior(self.labels_of(batch)).log_prob(z)
        log_prob = (log_prior + log_det - log_q).mean()
        terms = {"loss": -log_prob / z[0].numel(), "log_prior": log_prior.mean(), "log_det": log_det.mean()}
        if not pixels.is_image(self.data_shape):
            return terms
        return terms | {"bits_per_dim": pixels.bits_per_dim(log_prob.detach() + self.cell_log_volume, self.data_shape)}

    def update_ema(self, decay: float) -> None:
        """Also let the averages' batch normalisation follow the batch: the running means of other weights would make another density."""
        kept = [(layer, layer.running_mean.clone(), layer.running_variance.clone()) for layer in batch_normalizations(self.ema)]
        super().update_ema(decay)
        if not kept or self.last_batch is None:
            return
        with self.inference("ema"):
            for layer, mean, variance in kept:
                layer.running_mean.copy_(mean)
                layer.running_variance.copy_(variance)
                layer.training = True
            self.negative_log_likelihood(self.last_batch, self.step_noise(self.last_batch))

    def compile_networks(self) -> None:
        """Compile the networks inside the layers: between them, log-determinants and noise would only break the graph.

        Networks of one class share their graphs, one for each shape and use; torch's own limit is meant for a single network.
        """
        layers = [layer for layer in self.modules() if isinstance(layer, Bijection)]
        networks = [layer.network for layer in layers if isinstance(getattr(layer, "network", None), nn.Module)]
        limits = torch._dynamo.config
        limits.recompile_limit = max(limits.recompile_limit, USES * len(networks))
        limits.accumulated_recompile_limit = max(limits.accumulated_recompile_limit, USES * len(networks))
        for network in networks:
            network.compile(dynamic=False)

    # Likelihood.

    @property
    def cell_log_volume(self) -> float:
        """What turns the log-density of y into the log-mass of a level, nats."""
        return pixels.cell_log_volume(self.data_shape, self.num_bits)

    def log_prob(self, images: Tensor, *, labels: Tensor | None = None, noise: Noise, num_samples: int = 1) -> Tensor:
        r"""log-density of vectors, exact; of images :math:`\log \frac1k \sum_i p(y_i) / q(u_i|x)` in nats per level, ``(B,)``."""
        labels = self.condition(labels)
        context, prior = self.context(labels), self.prior(labels)
        log_weights = []
        for sample in range(num_samples if self.likelihood_kind(num_samples) == "k-sample bound" else 1):
            draws = NamedNoise(noise, f"sample {sample}")
            y, log_q = self.dequantization(images, draws)
            z, log_det = self.bijection(y, context, draws)
            log_weights.append(prior.log_prob(z) + log_det - log_q)
        return torch.logsumexp(torch.stack(log_weights), dim=0) - math.log(len(log_weights)) + self.cell_log_volume

    def likelihood_kind(self, num_samples: int = 1) -> str:
        """Exact for vectors; a bound of images, since they are dequantized."""
        if not pixels.is_image(self.data_shape):
            return "exact"
        return "lower bound" if num_samples == 1 else "k-sample bound"

    def answer_options(self) -> dict[str, Any]:
        dequantization = {"dequantization": self.dequantization.name} if pixels.is_image(self.data_shape) else {}
        return dequantization | {"temperature": self.temperature}

    # Latents and samples.

    def encode(self, images: Tensor, *, labels: Tensor | None = None) -> Tensor:
        """All of z ``(B, D)``, factored-out parts included; images from the middle of their levels' cells."""
        y = pixels.cell_centers(images, self.num_bits) if pixels.is_image(self.data_shape) else images.to(self.dtype)
        return self.bijection(y, self.context(self.condition(labels)))[0]

    def decode(self, z: Tensor, *, labels: Tensor | None = None) -> Tensor:
        """z to the level in whose cell it lies: the inverse of ``encode``."""
        y = self.bijection.inverse(z, self.context(self.condition(labels)))
        return pixels.quantize(y, self.num_bits) if pixels.is_image(self.data_shape) else y

    def latent_path(self, z: Tensor, num_points: int, *, labels: Tensor | None = None) -> tuple[Tensor, list[float]]:
        """What the first n layers make of z, for several n from none to all, ``(S, B, ...)``, and the shares n / N of the layers.

        The layers still missing are left out; squeezes, permutations and the logit are not layers in this sense, so that every point of
        the path has the data's shape and order, though not its range.
        """
        context, layers = self.context(self.condition(labels)), self.bijection.learned_layers()
        counts = sorted({round(len(layers) * point / (num_points - 1)) for point in range(num_points)})
        done = [self.bijection.partial_inverse(z, set(layers[:count]), context) for count in counts]
        return torch.stack(done), [count / len(layers) for count in counts]

    def set_temperature(self, temperature: float) -> None:
        """Sample at this temperature from now on; a checkpoint keeps the hyperparameter."""
        if not 0 < temperature < math.inf:
            raise UserError(f"temperature: expected a positive number, got {temperature}")
        self.temperature = temperature

    def draw_latents(self, noise: Noise, *, labels: Tensor | None = None) -> Tensor:
        """Draws of z from the prior at the model's temperature, ``(B, D)``."""
        return self.temperature * self.prior(labels).sample(noise, "z", (math.prod(self.data_shape),))

    def sample_images(self, noise: Noise, *, labels: Tensor | None = None) -> Tensor:
        """Decoded draws of the prior."""
        return self.decode(self.draw_latents(noise, labels=labels), labels=labels)


def batch_normalizations(module: nn.Module) -> list[BatchNormalization]:
    """Every batch normalisation of a module that is a layer of its flow."""
    return [layer for layer in module.modules() if isinstance(layer, BatchNormalization)]
