"""MNIST (LeCun et al., 1998) and Fashion-MNIST (Xiao et al., 2017, arXiv:1708.07747)."""

from __future__ import annotations

from typing import Any

import numpy as np

from lightning_gen.data.base import require_at_least
from lightning_gen.data.preprocessing import pad
from lightning_gen.data.torchvision_data import TorchvisionImages

IDX_FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


class MNIST(TorchvisionImages):
    """28x28 grey handwritten digits: 50,000 train, the last 10,000 of the original train split validate, 10,000 test.

    Args:
        padding: zero pixels on each side, before any resize; 2 makes the usual 32x32.
        image_size: resize to this many pixels a side (PIL, Lanczos); by default nothing is resized.
        channels: 1 (grey) or 3 (three equal channels).
    """

    name = "mnist"
    summary = "28x28 grey handwritten digits, 60,000 + 10,000"
    torchvision_class = "MNIST"
    native_shape = (1, 28, 28)
    num_classes = 10
    extractors = ("mnist-cnn",)
    metrics = ("fid", "is", "diversity")
    validation_size = 10_000
    expected_files = tuple(f"MNIST/raw/{file}" for file in IDX_FILES)
    preprocessing_arguments = ("padding", *TorchvisionImages.preprocessing_arguments)

    def __init__(self, padding: int = 0, image_size: int | None = None, channels: int | None = None, **kwargs: Any) -> None:
        require_at_least("padding", padding, 0)
        self.padding = padding
        padded = 28 + 2 * padding
        super().__init__(image_size=padded if image_size is None else image_size, channels=channels, **kwargs)

    def preprocess(self, images: np.ndarray) -> np.ndarray:
        return super().preprocess(pad(images, self.padding))


class FashionMNIST(MNIST):
    """28x28 grey pictures of clothes: 50,000 train, the last 10,000 of the original train split validate, 10,000 test.

    Args:
        padding: zero pixels on each side, before any resize; 2 makes the usual 32x32.
        image_size: resize to this many pixels a side (PIL, Lanczos); by default nothing is resized.
        channels: 1 (grey) or 3 (three equal channels).
    """

    name = "fashion-mnist"
    summary = "28x28 grey pictures of clothes in 10 classes, 60,000 + 10,000"
    torchvision_class = "FashionMNIST"
    expected_files = tuple(f"FashionMNIST/raw/{file}" for file in IDX_FILES)
