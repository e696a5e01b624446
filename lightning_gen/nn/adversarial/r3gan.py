"""The networks of R3GAN (Huang et al., 2025, arXiv:2501.05441, Config E): residual blocks of grouped convolutions without normalisation.

A block is narrow, wide, narrow: 1x1, grouped 3x3, 1x1. Weights start so that the signal keeps its size through all blocks, and the last of
each block at zero (Fixup, Zhang et al., 2019, arXiv:1901.09321). Deviation: resolutions
change by bilinear interpolation, a filter of (1, 3, 3, 1), where the authors' is (1, 2, 1).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, leaky_relu

from lightning_gen.errors import UserError
from lightning_gen.nn.adversarial.base import Discriminator, Generator, Judgement, require_label_use
from lightning_gen.nn.base import LabelEmbedding, LabelKind
from lightning_gen.nn.conv import require_width, resolution_levels

LABEL_FEATURES = 64
SLOPE = 0.2
GAIN = math.sqrt(2 / (1 + SLOPE**2))
"""What keeps the size of a signal through the leaky ReLU."""


def scaled(layer: nn.Conv2d | nn.Linear, gain: float = 1.0) -> nn.Conv2d | nn.Linear:
    """Normal weights of deviation gain / sqrt(fan in)."""
    nn.init.normal_(layer.weight, 0.0, gain / math.sqrt(layer.weight[0].numel()))
    return layer


class BiasedActivation(nn.Module):
    """A bias, then the leaky ReLU.

    Args:
        channels: of x.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        return leaky_relu(x + self.bias[:, None, None], SLOPE)


class R3GANBlock(nn.Module):
    """x plus what three convolutions make of it, nothing at first.

    Args:
        channels: of x.
        expansion: how many times as many channels there are inside.
        group_width: channels of a group of the 3x3 convolution.
        num_blocks: how many blocks the whole network has.
    """

    def __init__(self, channels: int, expansion: int, group_width: int, num_blocks: int) -> None:
        super().__init__()
        wide, gain = channels * expansion, GAIN * num_blocks**-0.25
        self.layers = nn.Sequential(
            scaled(nn.Conv2d(channels, wide, 1, bias=False), gain),
            BiasedActivation(wide),
            scaled(nn.Conv2d(wide, wide, 3, padding=1, groups=wide // group_width, bias=False), gain),
            BiasedActivation(wide),
            scaled(nn.Conv2d(wide, channels, 1, bias=False), 0.0),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)


def halved(x: Tensor) -> Tensor:
    """x at half its resolution."""
    # On CPUs torch has no such filter for numbers of 16 bits.
    wide = x.float() if x.device.type == "cpu" and x.dtype.itemsize < 4 else x
    return interpolate(wide, scale_factor=0.5, mode="bilinear", align_corners=False, antialias=True).to(x.dtype)


def doubled(x: Tensor) -> Tensor:
    """x at twice its resolution."""
    return interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)


class R3GANGenerator(Generator):
    """A basis of 4x4 maps weighted by z, then blocks at every resolution.

    Args:
        latent_dim, data_shape: as for every :class:`Generator`.
        labels: what the labels look like; their embedding is appended to z.
        width: channels of x at every resolution.
        blocks_per_resolution: blocks at each.
        expansion, group_width: of each block.
    """

    def __init__(
        self,
        latent_dim: int,
        data_shape: tuple[int, ...],
        labels: LabelKind = LabelKind(),
        width: int = 768,
        blocks_per_resolution: int = 2,
        expansion: int = 2,
        group_width: int = 16,
    ) -> None:
        super().__init__()
        levels, height, breadth = resolution_levels(data_shape)
        require_blocks(width, blocks_per_resolution, expansion, group_width)
        self.embedding = LabelEmbedding(labels)
        self.weights = scaled(nn.Linear(latent_dim + self.embedding.features, width, bias=False))
        self.basis = nn.Parameter(torch.randn(width, height, breadth))
        self.stages = stages(levels + 1, width, blocks_per_resolution, expansion, group_width)
        self.head = scaled(nn.Conv2d(width, data_shape[0], 1, bias=False))

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        x = self.basis * self.weights(self.embedding.append(z, labels))[..., None, None]
        for number, stage in enumerate(self.stages):
            x = stage(doubled(x) if number else x)
        return self.head(x)


class R3GANDiscriminator(Discriminator):
    """Blocks at every resolution, the maps of the lowest weighted by a basis of their own, and a linear unit.

    Args:
        data_shape: as for every :class:`Discriminator`.
        labels: what the labels look like; then the logit is an inner product with the label's vector.
        width: channels of x at every resolution.
        blocks_per_resolution: blocks at each.
        expansion, group_width: of each block.
        label_features: length of the label's vector.
    """

    def __init__(
        self,
        data_shape: tuple[int, ...],
        labels: LabelKind = LabelKind(),
        width: int = 768,
        blocks_per_resolution: int = 2,
        expansion: int = 2,
        group_width: int = 16,
        label_features: int = LABEL_FEATURES,
    ) -> None:
        super().__init__()
        levels, height, breadth = resolution_levels(data_shape)
        require_blocks(width, blocks_per_resolution, expansion, group_width)
        self.num_features = width
        self.foot = scaled(nn.Conv2d(data_shape[0], width, 1, bias=False))
        self.stages = stages(levels + 1, width, blocks_per_resolution, expansion, group_width)
        self.basis = scaled(nn.Conv2d(width, width, (height, breadth), groups=width, bias=False))
        require_label_use(labels, label_features, LABEL_FEATURES)
        self.embedding = LabelEmbedding(labels, label_features)
        self.head = scaled(nn.Linear(width, self.embedding.features or 1, bias=False))

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Judgement:
        h = self.foot(x)
        for number, stage in enumerate(self.stages):
            h = stage(halved(h) if number else h)
        features = self.basis(h).flatten(1)
        values = self.head(features)
        if self.embedding.features and labels is not None:
            values = (values * self.embedding(labels)).sum(1, keepdim=True) / math.sqrt(self.embedding.features)
        return Judgement(values, features)


def stages(count: int, width: int, blocks_per_resolution: int, expansion: int, group_width: int) -> nn.ModuleList:
    """The blocks of every resolution."""
    total = count * blocks_per_resolution
    return nn.ModuleList(
        nn.Sequential(*(R3GANBlock(width, expansion, group_width, total) for _ in range(blocks_per_resolution))) for _ in range(count)
    )


def require_blocks(width: int, blocks_per_resolution: int, expansion: int, group_width: int) -> None:
    """Refuse networks without channels or blocks, and groups that do not divide the channels."""
    require_width(width)
    for name, value in {"blocks_per_resolution": blocks_per_resolution, "expansion": expansion, "group_width": group_width}.items():
        if value < 1:
            raise UserError(f"{name}: expected at least 1, got {value}")
    if width * expansion % group_width:
        raise UserError(f"group_width: expected a divisor of the {width * expansion} channels inside a block, got {group_width}")
