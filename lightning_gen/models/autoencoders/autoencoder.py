r"""The plain autoencoder (Hinton & Salakhutdinov, 2006, Science 313; related: Kingma & Welling, 2013, arXiv:1312.6114).

Implemented: an undercomplete code between an encoder and a decoder, convolutional or fully connected, trained on the squared error.
Deviation: the paper pretrains layer by layer as restricted Boltzmann machines; here all layers are trained at once by Adam.

It is no distribution of images: it has neither a prior of its codes nor a likelihood, hence no samples. A density of its codes may be
fitted afterwards (:mod:`lightning_gen.models.autoencoders.latent_density`).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from lightning_gen import images as pixels
from lightning_gen.models.base import Batch, GenerativeModel
from lightning_gen.models.hyperparameters import require_at_least, require_positive
from lightning_gen.nn.base import Decoder, Encoder
from lightning_gen.noise import Noise
from lightning_gen.registry import ClassSpec, build


class Autoencoder(GenerativeModel):
    r"""A code h = f(x) from which the image is rebuilt.

    .. math:: \lVert x - g(f(x)) \rVert^2

    Summed over the values of x in [0, 1] (a vector's values are taken as they are), averaged over images.

    Args:
        data_shape: as for every :class:`GenerativeModel`.
        latent_dim: length D of the code h.
        encoder: the network f, a spec of an :class:`~lightning_gen.nn.base.Encoder`.
        decoder: the network g, a spec of a :class:`~lightning_gen.nn.base.Decoder`.
        learning_rate: Adam's.
        adam_epsilon: Adam's.
        decay_images: the learning rate falls linearly to zero over so many images; 0 for a constant rate.
        **data: the rest of what describes the data, and ``conditional``, as for every :class:`GenerativeModel`.
    """

    family = "autoencoder"
    density = "none"
    paper = "Hinton & Salakhutdinov 2006, Science 313"
    averaged_networks = ("encoder", "decoder")

    def __init__(
        self,
        data_shape: list[int],
        latent_dim: int = 50,
        encoder: ClassSpec | str = "MLPEncoder",
        decoder: ClassSpec | str = "MLPDecoder",
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
        shape, labels = self.data_shape, self.label_kind
        self.encoder = build(encoder, Encoder, "model.encoder", data_shape=shape, out_features=latent_dim, labels=labels)
        self.decoder = build(decoder, Decoder, "model.decoder", in_features=latent_dim, out_shape=shape, labels=labels)

    # Pixels.

    def to_float(self, images: Tensor) -> Tensor:
        """uint8 images as x in [0, 1]; vectors as they are."""
        return pixels.to_input(images, self.data_shape, self.dtype)

    def to_data(self, x: Tensor) -> Tensor:
        """x as uint8 images on the data's levels; what is expected of binary images is grey. Vectors as they are."""
        if not pixels.is_image(self.data_shape):
            return x
        return pixels.from_unit(x, self.num_bits if self.num_bits > 1 else 8)

    # Training.

    def objective(self, images: Tensor, labels: Tensor | None, noise: Noise) -> dict[str, Tensor]:
        """The loss, and the terms that it is made of, averaged over the batch."""
        x = self.to_float(images)
        return {"loss": squared_error(self.decoder(self.encoder(x, labels), labels), x).mean()}

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        terms = self.objective(batch[0], self.labels_of(batch), self.step_noise(batch))
        self.log_terms(terms)
        return terms["loss"]

    def validation_terms(self, batch: Batch, noise: Noise) -> dict[str, Tensor]:
        """The terms of the loss on a batch."""
        return self.objective(batch[0], self.labels_of(batch), noise)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.trained_parameters(), lr=self.hparams.learning_rate, eps=self.hparams.adam_epsilon)

    # Codes and reconstructions.

    def encode(self, images: Tensor, *, labels: Tensor | None = None) -> Tensor:
        """The code h, ``(B, D)``."""
        return self.encoder(self.to_float(images), self.condition(labels))

    def decode(self, z: Tensor, *, labels: Tensor | None = None) -> Tensor:
        """What the decoder makes of codes ``(B, D)``, uint8."""
        return self.to_data(self.decoder(z, self.condition(labels)))

    def reconstruct(self, images: Tensor, *, labels: Tensor | None = None) -> Tensor:
        """``decode(encode(images))``."""
        return self.decode(self.encode(images, labels=labels), labels=labels)


def squared_error(mean: Tensor, x: Tensor) -> Tensor:
    """The squared distance of each image, ``(B,)``, in float32 at least."""
    return (mean.to(torch.promote_types(mean.dtype, torch.float32)) - x).square().flatten(1).sum(1)
