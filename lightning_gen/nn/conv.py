"""Convolutional encoder and decoder that halve and double the resolution."""

from __future__ import annotations

from torch import Tensor, nn

from lightning_gen.errors import UserError
from lightning_gen.nn.base import ACTIVATIONS, Activation, Decoder, Encoder, LabelEmbedding, LabelKind


def resolution_levels(data_shape: tuple[int, ...]) -> tuple[int, int, int]:
    """How often an image is halved, and the height and width that remain: down to at most 4 pixels, and at least twice where it can be.

    Raises:
        UserError: for vectors, and for sizes that do not halve down to 8 pixels or less (28, 32, 64 do; 50 does not).
    """
    if len(data_shape) != 3:
        raise UserError(f"data_shape: a convolutional network needs images [C, H, W], got {list(data_shape)}; use an MLP")
    _, height, width = data_shape
    levels = 0
    while height % 2 == 0 and width % 2 == 0 and (max(height, width) > 4 or levels < 2) and min(height, width) > 2:
        height, width, levels = height // 2, width // 2, levels + 1
    if levels == 0 or max(height, width) > 8:
        raise UserError(
            f"data_shape: {list(data_shape)} cannot be halved to 8 pixels or less; expected sides like 8, 28, 32 or 64 (data.image_size)"
        )
    return levels, height, width


def require_width(width: int) -> None:
    """Refuse a network without channels."""
    if width < 1:
        raise UserError(f"width: expected at least 1, got {width}")


class ConvEncoder(Encoder):
    """A 3x3 convolution, one strided 4x4 convolution per halving, and a linear layer that also sees the label embedding.

    Args:
        data_shape, out_features, labels: as for every :class:`Encoder`.
        width: channels of the first convolution; doubled at every halving.
        activation: the nonlinearity.
    """

    def __init__(
        self,
        data_shape: tuple[int, ...],
        out_features: int,
        labels: LabelKind = LabelKind(),
        width: int = 32,
        activation: Activation = "silu",
    ) -> None:
        super().__init__()
        levels, height, breadth = resolution_levels(data_shape)
        require_width(width)
        layers: list[nn.Module] = [nn.Conv2d(data_shape[0], width, 3, padding=1), ACTIVATIONS[activation]()]
        for level in range(levels):
            layers += [nn.Conv2d(width << level, width << level + 1, 4, stride=2, padding=1), ACTIVATIONS[activation]()]
        self.layers = nn.Sequential(*layers)
        self.embedding = LabelEmbedding(labels)
        self.head = nn.Linear((width << levels) * height * breadth + self.embedding.features, out_features)

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.head(self.embedding.append(self.layers(x).flatten(1), labels))


class ConvDecoder(Decoder):
    """The mirror image of :class:`ConvEncoder`, with transposed convolutions; the label embedding is appended to the input.

    Args:
        in_features, out_shape, labels: as for every :class:`Decoder`.
        width: channels of the last hidden layer; doubled at every halving of the resolution.
        activation: the nonlinearity.
    """

    def __init__(
        self,
        in_features: int,
        out_shape: tuple[int, ...],
        labels: LabelKind = LabelKind(),
        width: int = 32,
        activation: Activation = "silu",
    ) -> None:
        super().__init__()
        levels, height, breadth = resolution_levels(out_shape)
        require_width(width)
        self.embedding = LabelEmbedding(labels)
        self.foot = nn.Linear(in_features + self.embedding.features, (width << levels) * height * breadth)
        layers: list[nn.Module] = [nn.Unflatten(1, (width << levels, height, breadth)), ACTIVATIONS[activation]()]
        for level in reversed(range(levels)):
            layers += [nn.ConvTranspose2d(width << level + 1, width << level, 4, stride=2, padding=1), ACTIVATIONS[activation]()]
        self.layers = nn.Sequential(*layers, nn.Conv2d(width, out_shape[0], 3, padding=1))

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.layers(self.foot(self.embedding.append(z, labels)))
