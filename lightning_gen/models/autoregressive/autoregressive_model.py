r"""What all autoregressive models share: an exact likelihood by the chain rule, samples place by place, completion of given images."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from lightning_gen import images as pixels
from lightning_gen.distributions.causal import CausalDistribution
from lightning_gen.distributions.pixels.base import PixelDistribution
from lightning_gen.errors import UserError
from lightning_gen.models.base import Batch
from lightning_gen.models.maximum_likelihood import MaximumLikelihoodModel
from lightning_gen.nn.base import LabelEmbedding
from lightning_gen.nn.causal.base import CausalNetwork, Places
from lightning_gen.noise import Noise
from lightning_gen.registry import ClassSpec, build


class AutoregressiveModel(MaximumLikelihoodModel):
    r"""A product of conditional distributions, one for each place of an image in a fixed order.

    .. math:: \log P(x) = \sum_t \log P(x_t | x_{<t})

    A paper is a causal network: it implements :meth:`build_network`.

    Args:
        data_shape: images.
        output: distribution of a pixel, a spec of a :class:`~lightning_gen.distributions.pixels.base.PixelDistribution`.
        **options: as for every :class:`MaximumLikelihoodModel`.
    """

    family = "autoregressive"
    density = "explicit exact"
    averaged_networks = ("distribution", "embedding")
    takes_labels = True

    def __init__(self, data_shape: list[int], output: ClassSpec | str = "Categorical", **options: Any) -> None:
        super().__init__(data_shape, **options)
        if not pixels.is_image(self.data_shape):
            raise UserError(f"model.data_shape: {type(self).__name__} needs images, got {list(data_shape)}")
        channels, height, width = self.data_shape
        output_pixels = build(output, PixelDistribution, "model.output", channels=channels, num_bits=self.num_bits)
        self.embedding = LabelEmbedding(self.label_kind)
        self.places = Places(
            grid=(height, width),
            groups=output_pixels.groups,
            in_features=output_pixels.in_features,
            num_parameters=output_pixels.num_parameters,
            context_features=self.embedding.features,
        )
        self.distribution = CausalDistribution(self.build_network(self.places), output_pixels)
        self.on_place: Callable[[int, int], None] | None = None

    def build_network(self, places: Places) -> CausalNetwork:
        """What computes the parameters of each factor."""
        raise NotImplementedError(f"{type(self).__name__} has to implement build_network")

    # Training.

    def negative_log_likelihood(self, batch: Batch, noise: Noise) -> dict[str, Tensor]:
        """The loss in nats per dimension; nats per image and bits/dim. No noise is in it."""
        levels = pixels.to_levels(batch[0], self.num_bits).long()
        log_prob = self.distribution.log_prob(levels, self.context(self.labels_of(batch))).mean()
        bits_per_dim = pixels.bits_per_dim(log_prob.detach(), self.data_shape)
        return {"loss": -log_prob / math.prod(self.data_shape), "nats": -log_prob.detach(), "bits_per_dim": bits_per_dim}

    def compile_networks(self) -> None:
        """Compile what maps images to parameters; the steps of sampling are too small to gain."""
        self.distribution.network.compile()

    # Likelihood.

    def log_prob(self, images: Tensor, *, labels: Tensor | None = None, noise: Noise, num_samples: int = 1) -> Tensor:
        """The log-mass of each image in nats, ``(B,)``: exact, so neither noise nor draws matter."""
        levels = pixels.to_levels(images, self.num_bits).long()
        return self.distribution.log_prob(levels, self.context(self.condition(labels)))

    def likelihood_kind(self, num_samples: int = 1) -> str:
        """Exact."""
        return "exact"

    # Samples.

    def sample_images(self, noise: Noise, *, labels: Tensor | None = None) -> Tensor:
        """Images drawn place by place."""
        return self.draw_levels(noise, labels)

    def complete(self, images: Tensor, hidden: Tensor, noise: Noise, *, labels: Tensor | None = None) -> Tensor:
        """Images ``(B, C, H, W)`` of which the hidden part is drawn anew, place by place, given what comes before it.

        What is visible stays as it is; a hidden place does not know of visible ones that come after it in the order of generation.

        Args:
            images: uint8, of as many bits as the model's data.
            hidden: bool, broadcast to ``(B, C, H, W)``; where the distribution ties the colours of a pixel together, all of them or none.
            noise: one item for each image.
            labels: of a conditional model.

        Raises:
            UserError: images or mask are not of this form.
        """
        mask = self.mask_for(images, hidden)
        for name, count in {"noise": len(noise), "labels": len(images) if labels is None else len(labels)}.items():
            if count != len(images):
                raise UserError(f"{name}: expected one for each of the {len(images)} images, got {count}")
        return self.draw_levels(noise, labels, pixels.to_levels(images, self.num_bits).long(), mask)

    def mask_for(self, images: Tensor, hidden: Tensor) -> Tensor:
        """The places to draw in images, bool ``(B, C, H, W)``, of a form that makes sense."""
        name = type(self).__name__
        if images.dtype != torch.uint8 or images.shape[1:] != self.data_shape:
            raise UserError(f"images: {name} completes uint8 {list(self.data_shape)} each, got {images.dtype} {list(images.shape[1:])}")
        if not torch.equal(pixels.reduce_bits(images, self.num_bits), images):
            raise UserError(f"images: {name} was trained on {self.num_bits} bits a pixel; expected such levels (images.reduce_bits)")
        try:
            mask = hidden.expand_as(images)
        except RuntimeError:
            mask = hidden
        if mask.dtype != torch.bool or mask.shape != images.shape:
            raise UserError(f"hidden: expected bool that broadcasts to {list(images.shape)}, got {hidden.dtype} {list(hidden.shape)}")
        by_place = mask.unflatten(1, (-1, self.places.groups))
        if not torch.equal(by_place.all(1), by_place.any(1)):
            raise UserError(f"hidden: {name} draws the colours of a pixel together; expected all of a pixel's colours hidden, or none")
        return mask

    def draw_levels(self, noise: Noise, labels: Tensor | None, given: Tensor | None = None, hidden: Tensor | None = None) -> Tensor:
        """Images of levels that are drawn, from one uniform number for each place or a few."""
        u = noise.uniform("pixels", self.distribution.uniforms_shape)
        levels = self.distribution.sample(u, self.context(self.condition(labels)), given, hidden, self.on_place)
        return pixels.from_levels(levels, self.num_bits)
