"""What happens to the pixels of a batch: bit depth, binarization, flips. Randomness is an argument, keyed by the caller."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from lightning_gen.noise import Noise

Binarization = Literal["none", "threshold", "dynamic", "static"]


def threshold(images: Tensor) -> Tensor:
    """uint8 to 0 or 255: white from 128 on."""
    return (images >> 7) * 255


def sample_binary(images: Tensor, noise: Noise) -> Tensor:
    """uint8 to 0 or 255: white with probability x / 255 (Salakhutdinov and Murray, 2008)."""
    u = noise.uniform("binarize", tuple(images.shape[1:]))
    return (u * 255 < images).to(torch.uint8) * 255


def random_flip(images: Tensor, noise: Noise) -> Tensor:
    """Each image ``(C, H, W)`` mirrored left to right with probability 1/2."""
    flipped = noise.uniform("flip", ()) < 0.5
    return torch.where(flipped[:, None, None, None], images.flip(-1), images)
