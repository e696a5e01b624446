r"""Variational dequantization (Flow++: Ho et al., 2019, arXiv:1902.00275, Section 3.1): what is added to the levels is learned.

.. math::
    u = \sigma(f(\epsilon;\, x)), \quad \epsilon \sim N(0, I), \qquad
    \log q(u|x) = \log N(\epsilon) - \log\left|\det \frac{\partial u}{\partial \epsilon}\right|

Implemented: f of Flow++'s steps on the two colours of a checkerboard, conditioned on the image through a small convolutional network. The
image is given in [-1, 1] (the authors' code: [-1/2, 1/2]). Added: a last layer in front of the sigmoid, which shifts and scales every
number by what the image alone says: u starts nearly uniform, and images of a single pixel can be dequantized too.

The normal's thin tails make the variance of p / q infinite in theory: estimates from few importance samples are a little low.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from lightning_gen import images as pixels
from lightning_gen.bijections.base import Bijection, Chain, Inverse
from lightning_gen.bijections.checkerboard import CheckerboardSplit, OnHalves, checkerboard_split
from lightning_gen.bijections.convolution import InvertibleConvolution
from lightning_gen.bijections.coupling import Coupling, SplitCoupling
from lightning_gen.bijections.logit import Sigmoid
from lightning_gen.bijections.mixture_cdf import MixtureCDFAffine
from lightning_gen.bijections.normalization import ActNorm
from lightning_gen.bijections.shapes import Permutation
from lightning_gen.bijections.transforms import Affine
from lightning_gen.distributions.normal import DiagonalNormal
from lightning_gen.errors import UserError
from lightning_gen.models.flows.dequantization import Dequantization
from lightning_gen.nn.gated_attention import GatedAttentionNet, GatedConvolution
from lightning_gen.noise import Noise

NEARLY_LOGISTIC = 1.7
"""The standard deviation of a normal that is close to the standard logistic, whose sigmoid is uniform."""


class VariationalDequantization(Dequantization):
    """A conditional flow from normal noise to the unit cell, trained together with the flow of the image.

    Args:
        data_shape, num_bits: as for every :class:`Dequantization`; of odd width only without couplings.
        width: channels of the couplings' networks.
        num_blocks: their blocks.
        num_couplings: couplings; 0 for independent numbers given the image.
        num_components: logistics of each mixture.
        num_heads: heads of the attention; 0 for none.
        dropout: of the networks.
        context_width: channels of what the image is turned into.
        context_blocks: residual blocks that do it.
    """

    name = "variational"

    def __init__(
        self,
        data_shape: tuple[int, ...],
        num_bits: int,
        width: int = 96,
        num_blocks: int = 2,
        num_couplings: int = 4,
        num_components: int = 32,
        num_heads: int = 4,
        dropout: float = 0.2,
        context_width: int = 32,
        context_blocks: int = 3,
    ) -> None:
        super().__init__(data_shape, num_bits)
        sizes = {"num_couplings": (num_couplings, 0), "context_blocks": (context_blocks, 0), "context_width": (context_width, 1)}
        for name, (value, smallest) in sizes.items():
            if value < smallest:
                raise UserError(f"{name}: expected at least {smallest}, got {value}")
        shape = checkerboard_split(self.data_shape) if num_couplings else self.data_shape
        self.split: Bijection = CheckerboardSplit() if num_couplings else Chain([])
        self.project = nn.Conv2d(shape[0], context_width, 3, padding=1)
        self.blocks = nn.ModuleList(GatedConvolution(context_width, dropout, kernel_size=3) for _ in range(context_blocks))
        network = {"width": width, "num_blocks": num_blocks, "num_heads": num_heads, "dropout": dropout, "context_channels": context_width}
        layers: list[Bijection] = []
        for number in range(num_couplings):
            layers += mixture_step(shape, num_components, f"dequantization {number}", **network)
        self.flow = Chain([*layers, by_context(shape, context_width), Inverse(self.split), Sigmoid()])

    def context(self, images: Tensor) -> Tensor:
        """What the flow is given of uint8 images, ``(B, F, H, W')``."""
        h = self.project(self.split(pixels.to_symmetric(images))[0])
        for block in self.blocks:
            h = block(h)
        return h

    def forward(self, images: Tensor, noise: Noise) -> tuple[Tensor, Tensor]:
        epsilon, _ = self.split(noise.normal("dequantize", self.data_shape))
        u, log_det = self.flow(epsilon, self.context(images))
        log_q = DiagonalNormal.standard().log_prob(epsilon.flatten(1)) - log_det
        levels = pixels.to_levels(images, self.num_bits)
        return (levels + u) / 2**self.num_bits, log_q


class ContextConvolution(nn.Module):
    """The network of a layer whose mask lets nothing pass: a 1x1 convolution of the context, which starts at zero.

    Args:
        context_channels, out_channels: of the context and of the parameters.
    """

    def __init__(self, context_channels: int, out_channels: int) -> None:
        super().__init__()
        self.layer = nn.Conv2d(context_channels, out_channels, 1)
        nn.init.zeros_(self.layer.weight)
        nn.init.zeros_(self.layer.bias)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """Parameters ``(B, out_channels, H, W)``; x is not looked at."""
        return self.layer(context)


def by_context(shape: tuple[int, ...], context_channels: int) -> Bijection:
    """Every number shifted and scaled by what the context says of it; at first scaled to what has a nearly uniform sigmoid."""
    transform = Affine(shape)
    network = ContextConvolution(context_channels, transform.num_parameters * shape[0])
    with torch.no_grad():
        network.layer.bias[: shape[0]] = math.log(NEARLY_LOGISTIC)
    return Coupling(torch.zeros(1, *shape), network, transform)


def mixture_step(shape: tuple[int, ...], num_components: int, key: str, **network: Any) -> list[Bijection]:
    """One step of Flow++: ActNorm, 1x1 convolutions of both halves of the channels, the coupling, and the other half's turn.

    Args:
        shape: of the images, with an even number of channels.
        num_components: logistics of each mixture.
        key: of the 1x1 convolutions' random start.
        **network: options of :class:`GatedAttentionNet`.
    """
    half = (shape[0] // 2, *shape[1:])
    mixing = [OnHalves(*(InvertibleConvolution(half[0], key, side) for side in range(2)))] if half[0] > 1 else []
    transform = MixtureCDFAffine(half, num_components)
    says = GatedAttentionNet(half, transform.num_parameters * half[0], **network)
    exchange = Permutation(torch.arange(shape[0]).roll(half[0]))
    return [ActNorm(shape[0]), *mixing, SplitCoupling(says, transform), exchange]
