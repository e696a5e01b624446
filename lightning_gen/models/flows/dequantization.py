r"""How bytes become numbers that a density is a density of.

With y = (l + u) / 2^n for the level l of a pixel and u in [0, 1),

.. math:: \log P(x) \ge E_{q(u|x)}[\log p(y) - \log q(u|x)] - D n \log 2
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lightning_gen import images as pixels
from lightning_gen.bijections.base import zero_log_det
from lightning_gen.noise import Noise


class Dequantization(nn.Module):
    """A distribution q(u|x) of what is added to the levels of an image.

    Args:
        data_shape: ``(C, H, W)``.
        num_bits: bits per pixel of the data.
    """

    name: str
    """What a result says of it."""

    def __init__(self, data_shape: tuple[int, ...], num_bits: int) -> None:
        super().__init__()
        self.data_shape = tuple(data_shape)
        self.num_bits = num_bits

    def forward(self, images: Tensor, noise: Noise) -> tuple[Tensor, Tensor]:
        """uint8 images to a draw of y ``(B, C, H, W)`` in [0, 1], and log q(u|x) ``(B,)`` in nats."""
        raise NotImplementedError(f"{type(self).__name__} has to implement forward")


class UniformDequantization(Dequantization):
    """u uniform in [0, 1) (Theis et al., 2016, arXiv:1511.01844): log q = 0.

    Args:
        data_shape, num_bits: as for every :class:`Dequantization`.
    """

    name = "uniform"

    def forward(self, images: Tensor, noise: Noise) -> tuple[Tensor, Tensor]:
        y = pixels.dequantize(images, noise, self.num_bits)
        return y, zero_log_det(y)


class NoDequantization(Dequantization):
    """Vectors are numbers already."""

    name = "none"

    def forward(self, images: Tensor, noise: Noise) -> tuple[Tensor, Tensor]:
        vectors = images.to(torch.get_default_dtype())
        return vectors, zero_log_det(vectors)
