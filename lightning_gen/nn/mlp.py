"""Fully connected encoder and decoder."""

from __future__ import annotations

import math

from torch import Tensor, nn

from lightning_gen.errors import UserError
from lightning_gen.nn.base import ACTIVATIONS, Activation, Decoder, Encoder, LabelEmbedding, LabelKind


def mlp(in_features: int, hidden: list[int], out_features: int, activation: nn.Module) -> nn.Sequential:
    """Linear layers with an activation between each two, Glorot-initialised with zero biases."""
    if min(hidden, default=1) < 1:
        raise UserError(f"hidden: expected widths of at least 1, got {hidden}")
    sizes = [in_features, *hidden, out_features]
    layers: list[nn.Module] = []
    for before, after in zip(sizes, sizes[1:], strict=False):
        linear = nn.Linear(before, after)
        nn.init.xavier_uniform_(linear.weight)
        nn.init.zeros_(linear.bias)
        layers += [linear, activation]
    return nn.Sequential(*layers[:-1])


class MLPEncoder(Encoder):
    """Flattens its input; the label embedding is appended to it.

    Args:
        data_shape, out_features, labels: as for every :class:`Encoder`.
        hidden: widths of the hidden layers.
        activation: their nonlinearity.
    """

    def __init__(
        self,
        data_shape: tuple[int, ...],
        out_features: int,
        labels: LabelKind = LabelKind(),
        hidden: list[int] = [200, 200],
        activation: Activation = "tanh",
    ) -> None:
        super().__init__()
        self.embedding = LabelEmbedding(labels)
        self.layers = mlp(math.prod(data_shape) + self.embedding.features, hidden, out_features, ACTIVATIONS[activation]())

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.layers(self.embedding.append(x.flatten(1), labels))


class MLPDecoder(Decoder):
    """The label embedding is appended to the input.

    Args:
        in_features, out_shape, labels: as for every :class:`Decoder`.
        hidden: widths of the hidden layers.
        activation: their nonlinearity.
    """

    def __init__(
        self,
        in_features: int,
        out_shape: tuple[int, ...],
        labels: LabelKind = LabelKind(),
        hidden: list[int] = [200, 200],
        activation: Activation = "tanh",
    ) -> None:
        super().__init__()
        self.out_shape = tuple(out_shape)
        self.embedding = LabelEmbedding(labels)
        self.layers = mlp(in_features + self.embedding.features, hidden, math.prod(out_shape), ACTIVATIONS[activation]())

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.layers(self.embedding.append(z, labels)).unflatten(1, self.out_shape)
