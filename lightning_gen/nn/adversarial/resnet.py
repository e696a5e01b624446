"""The residual networks of SNGAN (Miyato et al., 2018, arXiv:1802.05957, Table 4), which most later GANs of small images are built from.

At 32x32 the generator has three blocks that double the resolution, the discriminator two that halve it and two that do not. Other sizes
have as many as they need to begin at 8 pixels or less. Labels enter by conditional batch normalisation and by projection (Miyato & Koyama,
2018, arXiv:1802.05637).
"""

from __future__ import annotations

import math
from typing import Literal

from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate, relu

from lightning_gen.nn.adversarial.attention import SelfAttention, require_attended
from lightning_gen.nn.adversarial.base import Discriminator, Generator, Judgement, Normalization, norm_layer
from lightning_gen.nn.adversarial.conditional_norm import ConditionalBatchNorm2d, Projection
from lightning_gen.nn.base import LabelKind
from lightning_gen.nn.conv import require_width, resolution_levels

Upsampling = Literal["nearest", "bilinear"]


def glorot(layer: nn.Conv2d | nn.Linear, gain: float = 1.0) -> nn.Conv2d | nn.Linear:
    """A layer with Glorot's uniform weights, and a bias of zero."""
    nn.init.xavier_uniform_(layer.weight, gain)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def conv3x3(before: int, after: int) -> nn.Module:
    """A 3x3 convolution of a residual branch; its gain is that of the ReLU before it."""
    return glorot(nn.Conv2d(before, after, 3, padding=1), math.sqrt(2))


def conv1x1(before: int, after: int) -> nn.Module:
    """The convolution of a shortcut."""
    return glorot(nn.Conv2d(before, after, 1))


def doubled(x: Tensor, mode: Upsampling) -> Tensor:
    """x at twice its resolution."""
    return interpolate(x, scale_factor=2.0, mode=mode, align_corners=None if mode == "nearest" else False)


class GeneratorBlock(nn.Module):
    """Normalise, ReLU, double, convolve, normalise, ReLU, convolve; the shortcut is doubled too.

    Args:
        before, after: channels.
        labels: what the labels look like.
        upsampling: how the resolution is doubled.
    """

    def __init__(self, before: int, after: int, labels: LabelKind, upsampling: Upsampling) -> None:
        super().__init__()
        self.upsampling: Upsampling = upsampling
        self.first_norm, self.second_norm = ConditionalBatchNorm2d(before, labels), ConditionalBatchNorm2d(after, labels)
        self.first, self.second, self.shortcut = conv3x3(before, after), conv3x3(after, after), conv1x1(before, after)

    def forward(self, x: Tensor, labels: Tensor | None) -> Tensor:
        h = self.first(doubled(relu(self.first_norm(x, labels)), self.upsampling))
        h = self.second(relu(self.second_norm(h, labels)))
        # A 1x1 convolution and doubling commute, and this order has a quarter of the work.
        return h + doubled(self.shortcut(x), self.upsampling)


class ResNetGenerator(Generator):
    """A linear layer to the lowest resolution, blocks that double it, then normalisation, ReLU, a 3x3 convolution and tanh.

    Args:
        latent_dim, data_shape: as for every :class:`Generator`.
        labels: what the labels look like; they choose the gains and biases of the blocks' normalisations.
        width: channels of every hidden layer.
        upsampling: how a block doubles the resolution.
        attention: whether self-attention stands behind the maps of half the image's sides.
    """

    def __init__(
        self,
        latent_dim: int,
        data_shape: tuple[int, ...],
        labels: LabelKind = LabelKind(),
        width: int = 256,
        upsampling: Upsampling = "nearest",
        attention: bool = False,
    ) -> None:
        super().__init__()
        levels, height, breadth = resolution_levels(data_shape)
        require_width(width)
        require_attended(attention, levels)
        self.foot = nn.Sequential(glorot(nn.Linear(latent_dim, width * height * breadth)), nn.Unflatten(1, (width, height, breadth)))
        self.blocks = nn.ModuleList(GeneratorBlock(width, width, labels, upsampling) for _ in range(levels))
        self.attention = SelfAttention(width) if attention else nn.Identity()
        self.head = nn.Sequential(nn.BatchNorm2d(width), nn.ReLU(), glorot(nn.Conv2d(width, data_shape[0], 3, padding=1)), nn.Tanh())

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        x = self.foot(z)
        for left, block in zip(reversed(range(len(self.blocks))), self.blocks, strict=True):
            x = block(x, labels)
            if left == 1:
                x = self.attention(x)
        return self.head(x)


class FirstBlock(nn.Module):
    """Convolve, ReLU, convolve, halve: the first block acts on the image itself, which is not to lose its negative half.

    Args:
        before, after: channels.
        normalization: of the branch and of the shortcut.
    """

    def __init__(self, before: int, after: int, normalization: Normalization) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            conv3x3(before, after), norm_layer(normalization, after), nn.ReLU(), conv3x3(after, after), nn.AvgPool2d(2)
        )
        self.shortcut = nn.Sequential(nn.AvgPool2d(2), norm_layer(normalization, before), conv1x1(before, after))

    def forward(self, x: Tensor) -> Tensor:
        return self.branch(x) + self.shortcut(x)


class DiscriminatorBlock(nn.Module):
    """ReLU, convolve, ReLU, convolve, and halve where told so; then the shortcut has a convolution too.

    Args:
        channels: before and after.
        halves: whether the resolution is halved.
        normalization: before each ReLU, and of the shortcut where it has a convolution.
    """

    def __init__(self, channels: int, halves: bool, normalization: Normalization) -> None:
        super().__init__()
        self.halves = halves
        self.branch = nn.Sequential(
            norm_layer(normalization, channels),
            nn.ReLU(),
            conv3x3(channels, channels),
            norm_layer(normalization, channels),
            nn.ReLU(),
            conv3x3(channels, channels),
        )
        self.shortcut = nn.Sequential(norm_layer(normalization, channels), conv1x1(channels, channels)) if halves else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        if not self.halves:
            return self.branch(x) + x
        # Pooling is linear, so one does for both.
        return avg_pool2d(self.branch(x) + self.shortcut(x), 2)


class ResNetDiscriminator(Discriminator):
    """Blocks, a ReLU, the sum over pixels, and a linear unit; labels are projected on the features.

    Args:
        data_shape: as for every :class:`Discriminator`.
        labels: what the labels look like.
        width: channels of every hidden layer.
        pooling: what becomes of the pixels of the last layer.
        normalization: within blocks; the paper has none, and a gradient penalty forbids ``batch``.
        attention: whether self-attention stands behind the maps of half the image's sides.
    """

    def __init__(
        self,
        data_shape: tuple[int, ...],
        labels: LabelKind = LabelKind(),
        width: int = 128,
        pooling: Literal["sum", "mean"] = "sum",
        normalization: Normalization = "none",
        attention: bool = False,
    ) -> None:
        super().__init__()
        levels, *_ = resolution_levels(data_shape)
        require_width(width)
        halvings = max(1, levels - 1)
        blocks: list[nn.Module] = [FirstBlock(data_shape[0], width, normalization)]
        blocks += [DiscriminatorBlock(width, halves, normalization) for halves in [True] * (halvings - 1) + [False] * 2]
        if attention:
            blocks.insert(1, SelfAttention(width))
        self.blocks = nn.Sequential(*blocks)
        self.pooling = pooling
        self.num_features = width
        self.head = glorot(nn.Linear(width, 1))
        self.projection = Projection(width, labels)

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Judgement:
        hidden = relu(self.blocks(x))
        features = hidden.sum((2, 3)) if self.pooling == "sum" else hidden.mean((2, 3))
        return Judgement(self.head(features) + self.projection(features, labels), features)
