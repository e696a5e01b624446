r"""The pixel contract: every range, bit depth and dequantization of the project is defined here and nowhere else.

Batches are uint8 in [0, 255]. Data of n bits has 2^n levels; level l is stored as the byte round(255 l / (2^n - 1)), so that one bit is
black or white, and :func:`to_levels` finds l again. Models work on one of three float forms: the unit range [0, 1], the symmetric range
[-1, 1], or the dequantized range [0, 1) in which a level is an interval of width 2^-n.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Protocol

import torch
from torch import Tensor


class UniformNoise(Protocol):
    """What dequantization needs of a noise source (see :mod:`lightning_gen.noise`)."""

    def uniform(self, name: str, shape: tuple[int, ...]) -> Tensor:
        """Uniform draws in [0, 1) of shape ``(B, *shape)``."""


def is_image(data_shape: list[int] | tuple[int, ...]) -> bool:
    """Whether ``data_shape`` means uint8 images (C, H, W); length 1 means float32 vectors."""
    return len(data_shape) == 3


def to_unit(images: Tensor) -> Tensor:
    """uint8 to [0, 1], in the default float type."""
    return images.to(torch.get_default_dtype()) / 255


def to_input(images: Tensor, data_shape: list[int] | tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """What a network of the unit range is given: uint8 images in [0, 1], vectors as they are, in its float type."""
    return (to_unit(images) if is_image(data_shape) else images).to(dtype)


def to_symmetric(images: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """uint8 to [-1, 1], in ``dtype`` or the default float type."""
    return images.to(dtype or torch.get_default_dtype()) / 127.5 - 1


def from_unit(values: Tensor, num_bits: int = 8) -> Tensor:
    """[0, 1] to the uint8 of the nearest of 2^n levels; values outside are clamped."""
    top = 2**num_bits - 1
    return from_levels((values * top).round().clamp(0, top), num_bits)


def from_symmetric(values: Tensor, num_bits: int = 8) -> Tensor:
    """[-1, 1] to the uint8 of the nearest of 2^n levels; values outside are clamped."""
    return from_unit((values + 1) / 2, num_bits)


def to_levels(images: Tensor, num_bits: int) -> Tensor:
    """uint8 to the levels 0 ... 2^n - 1 (uint8): the n leading bits."""
    return images >> (8 - num_bits)


def from_levels(levels: Tensor, num_bits: int) -> Tensor:
    """Levels 0 ... 2^n - 1 to the bytes that stand for them: the inverse of :func:`to_levels`."""
    return (levels.to(torch.float32) * (255 / (2**num_bits - 1))).round().to(torch.uint8)


def reduce_bits(images: Tensor, num_bits: int) -> Tensor:
    """uint8 images rounded down to 2^n levels; nothing happens at 8 bits, and applying it twice changes nothing."""
    return images if num_bits == 8 else from_levels(to_levels(images, num_bits), num_bits)


def dequantize(images: Tensor, noise: UniformNoise, num_bits: int = 8) -> Tensor:
    r"""Uniform dequantization :math:`y = (l + u) / 2^n`, u uniform in [0, 1) (Theis et al., 2016, arXiv:1511.01844).

    Since a density's integral over a level's cell is its probability, :math:`\log P(x) \ge E_u[\log p(y)] - D n \log 2`.
    """
    levels = to_levels(images, num_bits).to(torch.get_default_dtype())
    u = noise.uniform("dequantize", tuple(images.shape[1:])).to(levels)
    return (levels + u) / 2**num_bits


def quantize(values: Tensor, num_bits: int = 8) -> Tensor:
    """Dequantized values to the uint8 of the level in whose cell they lie, which undoes :func:`dequantize`; those outside are clamped."""
    return from_levels((values * 2**num_bits).floor().clamp(0, 2**num_bits - 1), num_bits)


def cell_centers(images: Tensor, num_bits: int = 8) -> Tensor:
    """uint8 to the middle of each level's cell, (l + 1/2) / 2^n: where dequantized images lie on average."""
    return (to_levels(images, num_bits).to(torch.get_default_dtype()) + 0.5) / 2**num_bits


def cell_log_volume(data_shape: list[int] | tuple[int, ...], num_bits: int) -> float:
    """log-volume of one level's cell after :func:`dequantize`, in nats: what turns a log-density into a log-mass; 0 for vectors."""
    return -math.prod(data_shape) * num_bits * math.log(2) if is_image(data_shape) else 0.0


def bits_per_dim(log_prob: Tensor, data_shape: list[int] | tuple[int, ...]) -> Tensor:
    r"""Nats to bits per dimension: :math:`-\log P(x) / (D \log 2)`."""
    return -log_prob / (math.prod(data_shape) * math.log(2))


def make_grid(images: Tensor, num_columns: int | None = None, padding: int = 1, min_size: int = 32) -> Tensor:
    """uint8 ``(N, C, H, W)`` to one RGB picture ``(3, H', W')``, row by row; small images are enlarged to ``min_size``, unsmoothed."""
    images = images.cpu()
    if images.shape[1] == 1:
        images = images.expand(-1, 3, -1, -1)
    enlarge = max(1, math.ceil(min_size / max(images.shape[-2:])))
    images = images.repeat_interleave(enlarge, dim=-1).repeat_interleave(enlarge, dim=-2)
    count, channels, height, width = images.shape
    columns = num_columns or math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    grid = torch.full((channels, rows * (height + padding) + padding, columns * (width + padding) + padding), 127, dtype=torch.uint8)
    for index, image in enumerate(images):
        top = padding + (index // columns) * (height + padding)
        left = padding + (index % columns) * (width + padding)
        grid[:, top : top + height, left : left + width] = image
    return grid


def save_png(picture: Tensor, path: str, texts: Mapping[str, str] | None = None) -> None:
    """Write one uint8 picture ``(1 or 3, H, W)`` as a PNG file, with what the file says of itself: keyword -> text."""
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    pixels = picture.cpu().permute(1, 2, 0).numpy()
    told = PngInfo()
    for keyword, text in (texts or {}).items():
        told.add_text(keyword, text)
    Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(path, format="PNG", pnginfo=told)
