"""The networks of DCGAN (Radford et al., 2015, arXiv:1511.06434): (transposed) strided convolutions.

Deviation: 4x4 kernels with padding 1 in place of 5x5, so that transposed convolutions double the size exactly and leave no checkerboard
overlap.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lightning_gen.nn.adversarial.base import Discriminator, Generator, Judgement, Normalization, norm_layer
from lightning_gen.nn.base import LabelEmbedding, LabelKind
from lightning_gen.nn.conv import require_width, resolution_levels


def initialize(layer: nn.Module) -> None:
    """Weights from N(0, 0.02), gains of normalisations from N(1, 0.02), biases zero (Section 4)."""
    if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
        nn.init.normal_(layer.weight, 0.0, 0.02)
    elif isinstance(layer, nn.BatchNorm2d | nn.GroupNorm):
        nn.init.normal_(layer.weight, 1.0, 0.02)
    if isinstance(bias := getattr(layer, "bias", None), Tensor):
        nn.init.zeros_(bias)


class DCGANGenerator(Generator):
    """z is projected and reshaped to the lowest resolution, then doubled by transposed convolutions.

    Args:
        latent_dim, data_shape: as for every :class:`Generator`.
        labels: what the labels look like; their embedding is appended to z.
        width: channels at the highest hidden resolution, doubled at every halving (the paper's 64x64 network has 128).
    """

    def __init__(self, latent_dim: int, data_shape: tuple[int, ...], labels: LabelKind = LabelKind(), width: int = 128) -> None:
        super().__init__()
        levels, height, breadth = resolution_levels(data_shape)
        require_width(width)
        channels = [width << level for level in reversed(range(levels))]
        self.embedding = LabelEmbedding(labels).shortened()
        self.project = nn.Linear(latent_dim + self.embedding.features, channels[0] * height * breadth, bias=False)
        layers: list[nn.Module] = [nn.Unflatten(1, (channels[0], height, breadth)), nn.BatchNorm2d(channels[0]), nn.ReLU()]
        for before, after in zip(channels, channels[1:], strict=False):
            layers += [nn.ConvTranspose2d(before, after, 4, 2, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.ConvTranspose2d(channels[-1], data_shape[0], 4, 2, 1), nn.Tanh())
        self.apply(initialize)

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.layers(self.project(self.embedding.append(z, labels)))


class DCGANDiscriminator(Discriminator):
    """Strided convolutions down to the lowest resolution, then one linear unit.

    Args:
        data_shape: as for every :class:`Discriminator`.
        labels: what the labels look like; their embedding becomes one more input plane (Mirza & Osindero, 2014, arXiv:1411.1784).
        width: channels after the first convolution, doubled at every further one.
        normalization: after every convolution but the first; ``batch`` is the paper's, a gradient penalty forbids it.
    """

    def __init__(
        self,
        data_shape: tuple[int, ...],
        labels: LabelKind = LabelKind(),
        width: int = 128,
        normalization: Normalization = "batch",
    ) -> None:
        super().__init__()
        levels, height, breadth = resolution_levels(data_shape)
        require_width(width)
        self.embedding = LabelEmbedding(labels)
        self.plane = nn.Linear(self.embedding.features, data_shape[1] * data_shape[2]) if self.embedding.features else None
        channels = [data_shape[0] + (self.plane is not None), *(width << level for level in range(levels))]
        layers: list[nn.Module] = []
        for level, (before, after) in enumerate(zip(channels, channels[1:], strict=False)):
            normalized = level > 0 and normalization != "none"
            layers.append(nn.Conv2d(before, after, 4, 2, 1, bias=not normalized))
            layers += [norm_layer(normalization, after)] if normalized else []
            layers.append(nn.LeakyReLU(0.2))
        self.layers = nn.Sequential(*layers, nn.Flatten())
        self.num_features = channels[-1] * height * breadth
        self.head = nn.Linear(self.num_features, 1)
        self.apply(initialize)

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Judgement:
        if self.plane is not None and labels is not None:
            x = torch.cat([x, self.plane(self.embedding(labels)).view(len(x), 1, *x.shape[2:])], dim=1)
        features = self.layers(x)
        return Judgement(self.head(features), features)
