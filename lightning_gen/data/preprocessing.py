"""What a recipe does to whole images before anything is trained on them: padding, resizing, channels. It is part of a score's protocol."""

from __future__ import annotations

import numpy as np
from PIL import Image

RESAMPLING = Image.Resampling.LANCZOS
"""The filter of every resize, antialiased by PIL when it shrinks."""


def pad(images: np.ndarray, padding: int) -> np.ndarray:
    """uint8 ``(N, C, H, W)`` with ``padding`` zero pixels on each of the four sides."""
    return np.pad(images, ((0, 0), (0, 0), (padding, padding), (padding, padding)))


def resize(images: np.ndarray, size: int) -> np.ndarray:
    """uint8 ``(N, C, H, W)`` to ``(N, C, size, size)``."""
    if images.shape[2:] == (size, size):
        return images
    planes = images.reshape(-1, *images.shape[2:])
    resized = np.stack([np.asarray(Image.fromarray(plane).resize((size, size), RESAMPLING)) for plane in planes])
    return resized.reshape(*images.shape[:2], size, size)


def to_channels(images: np.ndarray, channels: int) -> np.ndarray:
    """Grey uint8 ``(N, 1, H, W)`` to three equal channels, or RGB to luma (ITU-R 601, rounded)."""
    if images.shape[1] == channels:
        return images
    if channels == 3:
        return np.repeat(images, 3, axis=1)
    luma = np.tensordot(images.astype(np.float32), np.array([0.299, 0.587, 0.114], np.float32), axes=(1, 0))
    return np.round(luma).astype(np.uint8)[:, None]
