"""DCGAN (Radford et al., 2015, arXiv:1511.06434): the paper's networks and initialisation on top of the GAN.

Implemented: Figure 1's generator and its mirrored discriminator for any size that halves to 8 pixels or less, the architecture guidelines
of Section 3 and the training details of Section 4 (batch normalisation in both networks except the generator's output and the
discriminator's input, ReLU and LeakyReLU(0.2), N(0, 0.02) weights, uniform z, Adam 2e-4 with beta1 0.5). Deviation: 4x4 kernels with
padding 1 in place of 5x5, so that transposed convolutions double the size exactly and leave no checkerboard overlap.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from lightning_gen.models.gans.gan import AdversarialModel
from lightning_gen.models.hyperparameters import require_at_least
from lightning_gen.nn.base import LabelEmbedding, LabelKind
from lightning_gen.nn.conv import resolution_levels
from lightning_gen.noise import Noise


class DCGAN(AdversarialModel):
    """Deep convolutional GAN, for images whose sides halve to 8 pixels or less (8, 28, 32, 64, ...).

    Args:
        data_shape: as for every :class:`GenerativeModel`.
        width: channels at the highest hidden resolution, doubled at every halving (the paper's 64x64 network has 128).
        **options: as for :class:`AdversarialModel`.
    """

    paper = "Radford et al. 2015, arXiv:1511.06434"

    def __init__(self, data_shape: list[int], width: int = 128, **options: Any) -> None:
        require_at_least(1, width=width)
        super().__init__(data_shape, **options)
        self.apply(initialize)

    def build_generator(self) -> nn.Module:
        return DCGANGenerator(self.latent_dim, self.data_shape, self.hparams.width, self.label_kind)

    def build_discriminator(self) -> nn.Module:
        return DCGANDiscriminator(self.data_shape, self.hparams.width, self.label_kind)

    def prior(self, noise: Noise, name: str) -> Tensor:
        """Uniform in [-1, 1), as the paper."""
        return noise.uniform(name, (self.latent_dim,)) * 2 - 1


def initialize(layer: nn.Module) -> None:
    """Weights from N(0, 0.02), batch normalisation's gains from N(1, 0.02), biases zero (Section 4)."""
    if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
        nn.init.normal_(layer.weight, 0.0, 0.02)
    elif isinstance(layer, nn.BatchNorm2d):
        nn.init.normal_(layer.weight, 1.0, 0.02)
    if getattr(layer, "bias", None) is not None:
        nn.init.zeros_(layer.bias)


class DCGANGenerator(nn.Module):
    """z is projected and reshaped to the lowest resolution, then doubled by transposed convolutions.

    Args:
        latent_dim: length of z.
        data_shape: ``(C, H, W)`` of the images.
        width: channels at the highest hidden resolution.
        labels: what the labels look like; their embedding is appended to z.
    """

    def __init__(self, latent_dim: int, data_shape: tuple[int, ...], width: int, labels: LabelKind = LabelKind()) -> None:
        super().__init__()
        levels, height, breadth = resolution_levels(data_shape)
        channels = [width << level for level in reversed(range(levels))]
        self.embedding = LabelEmbedding(labels)
        self.project = nn.Linear(latent_dim + self.embedding.features, channels[0] * height * breadth, bias=False)
        layers: list[nn.Module] = [nn.Unflatten(1, (channels[0], height, breadth)), nn.BatchNorm2d(channels[0]), nn.ReLU()]
        for before, after in zip(channels, channels[1:], strict=False):
            layers += [nn.ConvTranspose2d(before, after, 4, 2, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.ConvTranspose2d(channels[-1], data_shape[0], 4, 2, 1), nn.Tanh())

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """z ``(B, latent_dim)`` to images in [-1, 1], ``(B, C, H, W)``."""
        return self.layers(self.project(self.embedding.append(z, labels)))


class DCGANDiscriminator(nn.Module):
    """Strided convolutions down to the lowest resolution, then one linear unit.

    Args:
        data_shape: ``(C, H, W)`` of the images.
        width: channels after the first convolution, doubled at every further one.
        labels: what the labels look like; their embedding becomes one more input plane (Mirza & Osindero, 2014, arXiv:1411.1784).
    """

    def __init__(self, data_shape: tuple[int, ...], width: int, labels: LabelKind = LabelKind()) -> None:
        super().__init__()
        levels, height, breadth = resolution_levels(data_shape)
        self.embedding = LabelEmbedding(labels)
        self.plane = nn.Linear(self.embedding.features, data_shape[1] * data_shape[2]) if self.embedding.features else None
        channels = [data_shape[0] + (self.plane is not None), *(width << level for level in range(levels))]
        layers: list[nn.Module] = []
        for level, (before, after) in enumerate(zip(channels, channels[1:], strict=False)):
            layers.append(nn.Conv2d(before, after, 4, 2, 1, bias=level == 0))
            layers += [nn.BatchNorm2d(after)] if level > 0 else []
            layers.append(nn.LeakyReLU(0.2))
        self.layers = nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels[-1] * height * breadth, 1))

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        """Images in [-1, 1] to D's logit, ``(B, 1)``."""
        if self.plane is not None:
            embedded = self.embedding.append(x.new_empty(len(x), 0), labels)
            x = torch.cat([x, self.plane(embedded).view(len(x), 1, *x.shape[2:])], dim=1)
        return self.layers(x)
