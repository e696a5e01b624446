"""The plain convolutional networks of SNGAN (Miyato et al., 2018, arXiv:1802.05957, Table 3)."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from lightning_gen.nn.adversarial.base import Discriminator, Generator, Judgement, Normalization, norm_layer
from lightning_gen.nn.adversarial.conditional_norm import ConditionalBatchNorm2d, Projection
from lightning_gen.nn.base import LabelKind
from lightning_gen.nn.conv import require_width, resolution_levels


class CNNGenerator(Generator):
    """A linear layer, transposed convolutions that double and halve the channels, and a 3x3 convolution with tanh.

    At 32x32 and width 64: 512 channels of 4x4, then 256, 128 and 64.

    Args:
        latent_dim, data_shape: as for every :class:`Generator`.
        labels: what the labels look like; they choose gains and biases of the normalisations.
        width: channels at the highest resolution.
        normalized_foot: whether the linear layer is followed by normalisation and ReLU.
    """

    def __init__(
        self,
        latent_dim: int,
        data_shape: tuple[int, ...],
        labels: LabelKind = LabelKind(),
        width: int = 64,
        normalized_foot: bool = False,
    ) -> None:
        super().__init__()
        levels, height, breadth = resolution_levels(data_shape)
        require_width(width)
        channels = [width << level for level in reversed(range(levels + 1))]
        self.foot = nn.Sequential(nn.Linear(latent_dim, channels[0] * height * breadth), nn.Unflatten(1, (channels[0], height, breadth)))
        self.foot_norm = ConditionalBatchNorm2d(channels[0], labels) if normalized_foot else None
        pairs = [*zip(channels, channels[1:], strict=False)]
        self.layers = nn.ModuleList(nn.ConvTranspose2d(before, after, 4, 2, 1) for before, after in pairs)
        self.norms = nn.ModuleList(ConditionalBatchNorm2d(after, labels) for _, after in pairs)
        self.head = nn.Sequential(nn.Conv2d(width, data_shape[0], 3, padding=1), nn.Tanh())

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        x = self.foot(z)
        if self.foot_norm is not None:
            x = self.foot_norm(x, labels).relu()
        for layer, norm in zip(self.layers, self.norms, strict=True):
            x = norm(layer(x), labels).relu()
        return self.head(x)


class CNNDiscriminator(Discriminator):
    """Pairs of a 3x3 and a strided 4x4 convolution, doubling the channels, one more 3x3 convolution, and a linear unit.

    At 32x32 and width 64: 64, 128, 256 and, at last, 512 channels.

    Args:
        data_shape: as for every :class:`Discriminator`.
        labels: what the labels look like; they are projected on the features.
        width: channels at the highest resolution.
        pooling: what becomes of the pixels of the last layer; the paper's linear unit sees all of them (``flat``).
        normalization: after every convolution.
        slope: of the leaky ReLUs below zero.
    """

    def __init__(
        self,
        data_shape: tuple[int, ...],
        labels: LabelKind = LabelKind(),
        width: int = 64,
        pooling: Literal["flat", "sum"] = "flat",
        normalization: Normalization = "none",
        slope: float = 0.1,
    ) -> None:
        super().__init__()
        levels, height, breadth = resolution_levels(data_shape)
        require_width(width)
        self.pooling = pooling
        layers: list[nn.Module] = []

        def convolve(convolution: nn.Conv2d) -> None:
            layers.extend([convolution, norm_layer(normalization, convolution.out_channels), nn.LeakyReLU(slope)])

        channels = [data_shape[0], *(width << level for level in range(levels + 1))]
        for before, after in zip(channels[:-2], channels[1:-1], strict=True):
            convolve(nn.Conv2d(before, after, 3, padding=1))
            convolve(nn.Conv2d(after, after, 4, 2, 1))
        convolve(nn.Conv2d(channels[-2], channels[-1], 3, padding=1))
        self.layers = nn.Sequential(*layers)
        self.num_features = channels[-1] * (height * breadth if pooling == "flat" else 1)
        self.head = nn.Linear(self.num_features, 1)
        self.projection = Projection(self.num_features, labels)

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Judgement:
        hidden = self.layers(x)
        features = hidden.flatten(1) if self.pooling == "flat" else hidden.sum((2, 3))
        return Judgement(self.head(features) + self.projection(features, labels), features)
