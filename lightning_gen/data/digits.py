"""The 8x8 handwritten digits that come with scikit-learn: a real data set that needs no download."""

from __future__ import annotations

import numpy as np

from lightning_gen.data.base import ImageDataModule
from lightning_gen.noise import philox

HELD_OUT = 400
"""Images of the validation split and of the test split, each."""


class Digits(ImageDataModule):
    """scikit-learn's ``load_digits``: 1797 images of 8x8 pixels, of which 997 train, 400 validate and 400 test.

    The 17 values v = 0 ... 16 are stored as bytes round(255 v / 16); at the default of 4 bits there are 16 levels.
    """

    name = "digits"
    summary = "8x8 handwritten digits from scikit-learn, 1797 images, no download"
    data_shape = (1, 8, 8)
    num_classes = 10
    native_num_bits = 4
    extractors = ("digits-cnn",)
    metrics = ("fid", "is", "diversity")
    evaluation_samples = 2000

    def load(self, split: str) -> tuple[np.ndarray, np.ndarray]:
        from sklearn.datasets import load_digits

        values, labels = load_digits(return_X_y=True)
        images = np.round(values * (255 / 16)).astype(np.uint8).reshape(-1, 1, 8, 8)
        order = philox("digits", "split").permutation(len(images))
        parts = {"validation": order[:HELD_OUT], "test": order[HELD_OUT : 2 * HELD_OUT], "train": order[2 * HELD_OUT :]}
        return images[parts[split]], labels[parts[split]]
