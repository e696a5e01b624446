"""Fully connected networks of a GAN, for images and for vectors."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from lightning_gen.nn.adversarial.base import Discriminator, Generator, Judgement
from lightning_gen.nn.base import ACTIVATIONS, Activation, LabelEmbedding, LabelKind
from lightning_gen.nn.mlp import MLPDecoder, mlp


class MLPGenerator(Generator):
    """Linear layers; images are bounded to [-1, 1] by tanh, and the label embedding is appended to z.

    Args:
        latent_dim, data_shape, labels: as for every :class:`Generator`.
        hidden: widths of the hidden layers.
        activation: their nonlinearity.
    """

    def __init__(
        self,
        latent_dim: int,
        data_shape: tuple[int, ...],
        labels: LabelKind = LabelKind(),
        hidden: list[int] = [256, 256],
        activation: Activation = "relu",
    ) -> None:
        super().__init__()
        self.network = MLPDecoder(latent_dim, data_shape, labels, hidden, activation)
        self.network.embedding.shortened()
        self.bounded = len(data_shape) == 3

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        x = self.network(z, labels)
        return torch.tanh(x) if self.bounded else x


class MLPDiscriminator(Discriminator):
    """Linear layers over the flattened data, to which the label embedding is appended.

    Args:
        data_shape, labels: as for every :class:`Discriminator`.
        hidden: widths of the hidden layers; the last is the number of features.
        activation: their nonlinearity.
    """

    def __init__(
        self,
        data_shape: tuple[int, ...],
        labels: LabelKind = LabelKind(),
        hidden: list[int] = [256, 256],
        activation: Activation = "relu",
    ) -> None:
        super().__init__()
        self.embedding = LabelEmbedding(labels)
        sizes = [math.prod(data_shape) + self.embedding.features, *hidden]
        *body, self.head = mlp(sizes[0], hidden, 1, ACTIVATIONS[activation]())
        self.layers = nn.Sequential(*body)
        self.num_features = sizes[-1]

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Judgement:
        features = self.layers(self.embedding.append(x.flatten(1), labels))
        return Judgement(self.head(features), features)
