"""CIFAR-10 and CIFAR-100 (Krizhevsky, 2009)."""

from __future__ import annotations

from lightning_gen.data.torchvision_data import TorchvisionImages


class CIFAR10(TorchvisionImages):
    """32x32 RGB photographs in 10 classes: 45,000 train, the last 5,000 of the original train split validate, 10,000 test.

    Args:
        image_size: resize to this many pixels a side (PIL, Lanczos); by default nothing is resized.
        channels: 1 (luma) or 3 (RGB).
    """

    name = "cifar10"
    summary = "32x32 RGB photographs in 10 classes, 50,000 + 10,000"
    torchvision_class = "CIFAR10"
    native_shape = (3, 32, 32)
    num_classes = 10
    validation_size = 5_000
    expected_files = tuple(f"cifar-10-batches-py/{file}" for file in ("data_batch_1 ... data_batch_5", "test_batch", "batches.meta"))


class CIFAR100(CIFAR10):
    """32x32 RGB photographs in 100 classes: 45,000 train, the last 5,000 of the original train split validate, 10,000 test.

    Args:
        image_size: resize to this many pixels a side (PIL, Lanczos); by default nothing is resized.
        channels: 1 (luma) or 3 (RGB).
    """

    name = "cifar100"
    summary = "32x32 RGB photographs in 100 classes, 50,000 + 10,000"
    torchvision_class = "CIFAR100"
    num_classes = 100
    expected_files = ("cifar-100-python/train", "cifar-100-python/test", "cifar-100-python/meta")
