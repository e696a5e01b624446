"""Colour patches cut from the two photographs that come with scikit-learn: natural images that need no download."""

from __future__ import annotations

import numpy as np

from lightning_gen.data.base import ImageDataModule
from lightning_gen.noise import philox

SIZE = 32
STRIDE = 8
COLUMNS = {"train": slice(0, 448), "validation": slice(448, 544), "test": slice(544, 640)}
"""The part of each 427x640 photograph that a split is cut from; patches of different splits share no pixel."""


class PhotoPatches(ImageDataModule):
    """32x32 RGB patches of scikit-learn's two sample photographs, every 8 pixels: 5300 train, 900 validate, 900 test."""

    name = "photo-patches"
    summary = "32x32 RGB patches of scikit-learn's two photographs, 7100 images, no download"
    data_shape = (3, SIZE, SIZE)
    evaluation_samples = 2000

    def load(self, split: str) -> tuple[np.ndarray, None]:
        from sklearn.datasets import load_sample_images

        regions = [photo[:, COLUMNS[split]] for photo in load_sample_images().images]
        images = np.concatenate([patches(region) for region in regions])
        # Shuffled for good: the first N images have to be like the others, not a photograph's upper edge.
        return images[philox("photo-patches", split).permutation(len(images))], None


def patches(photo: np.ndarray) -> np.ndarray:
    """All patches of a photograph ``(H, W, 3)`` at the stride, row by row: uint8 ``(N, 3, 32, 32)``."""
    windows = np.lib.stride_tricks.sliding_window_view(photo, (SIZE, SIZE), axis=(0, 1))[::STRIDE, ::STRIDE]
    return np.ascontiguousarray(windows).reshape(-1, 3, SIZE, SIZE)
