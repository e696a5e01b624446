"""The generator of BigGAN (Brock et al., 2019, arXiv:1809.11096): z and the class's shared vector enter every block.

Its discriminator is that of :mod:`lightning_gen.nn.adversarial.resnet` with attention.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import relu

from lightning_gen.errors import UserError
from lightning_gen.nn.adversarial.attention import SelfAttention, require_attended
from lightning_gen.nn.adversarial.base import Generator, require_label_use
from lightning_gen.nn.adversarial.resnet import doubled
from lightning_gen.nn.base import LabelEmbedding, LabelKind
from lightning_gen.nn.conv import require_width, resolution_levels

LABEL_FEATURES = 128


class ModulatedBatchNorm2d(nn.Module):
    r"""Batch normalisation with gain and bias that are linear in a vector, :math:`(1 + W h) \hat x + V h`.

    Args:
        channels: of x.
        condition_features: length of h.
    """

    def __init__(self, channels: int, condition_features: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=False)
        self.gain = nn.Linear(condition_features, channels, bias=False)
        self.bias = nn.Linear(condition_features, channels, bias=False)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """x ``(B, C, H, W)`` normalised, given h ``(B, condition_features)``."""
        return torch.addcmul(self.bias(condition)[..., None, None], self.norm(x), 1 + self.gain(condition)[..., None, None])


class BigGANBlock(nn.Module):
    """As the block of SNGAN's generator, modulated by a vector.

    Args:
        channels: before and after.
        condition_features: length of the vector.
    """

    def __init__(self, channels: int, condition_features: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(ModulatedBatchNorm2d(channels, condition_features) for _ in range(2))
        self.first, self.second = (nn.Conv2d(channels, channels, 3, padding=1) for _ in range(2))
        self.shortcut = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        first_norm, second_norm = self.norms
        h = self.first(doubled(relu(first_norm(x, condition)), "nearest"))
        h = self.second(relu(second_norm(h, condition)))
        return h + doubled(self.shortcut(x), "nearest")


class BigGANGenerator(Generator):
    """z in equal parts, the first to the lowest resolution, one more beside the class's vector to each block.

    Args:
        latent_dim: length of z, which the number of blocks and one more have to divide.
        data_shape: as for every :class:`Generator`.
        labels: what the labels look like.
        width: channels of every hidden layer, 4 times the paper's ch at 32x32.
        label_features: length of the class's vector, which all blocks share.
        attention: whether self-attention stands behind the maps of half the image's sides.
    """

    def __init__(
        self,
        latent_dim: int,
        data_shape: tuple[int, ...],
        labels: LabelKind = LabelKind(),
        width: int = 384,
        label_features: int = LABEL_FEATURES,
        attention: bool = False,
    ) -> None:
        super().__init__()
        levels, height, breadth = resolution_levels(data_shape)
        require_width(width)
        require_parts(latent_dim, levels + 1)
        require_attended(attention, levels)
        self.num_parts = levels + 1
        require_label_use(labels, label_features, LABEL_FEATURES)
        self.embedding = LabelEmbedding(labels, label_features)
        part = latent_dim // self.num_parts
        self.foot = nn.Sequential(nn.Linear(part, width * height * breadth), nn.Unflatten(1, (width, height, breadth)))
        self.blocks = nn.ModuleList(BigGANBlock(width, part + self.embedding.features) for _ in range(levels))
        self.attention = SelfAttention(width) if attention else nn.Identity()
        self.head = nn.Sequential(nn.BatchNorm2d(width), nn.ReLU(), nn.Conv2d(width, data_shape[0], 3, padding=1), nn.Tanh())

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        first, *others = z.chunk(self.num_parts, 1)
        label = [self.embedding(cast(Tensor, labels))] if self.embedding.features else []
        x = self.foot(first)
        for left, part, block in zip(reversed(range(len(others))), others, self.blocks, strict=True):
            x = block(x, torch.cat([part, *label], 1))
            if left == 1:
                x = self.attention(x)
        return self.head(x)


def require_parts(latent_dim: int, num_parts: int) -> None:
    """Refuse a z that cannot be divided."""
    if latent_dim % num_parts:
        raise UserError(
            f"model.latent_dim: expected a multiple of {num_parts}, a part for each resolution, got {latent_dim} (with all codes)"
        )
