"""What the data sets of torchvision that fit in memory share: download, a validation split cut from the end of train, preprocessing."""

from __future__ import annotations

import pathlib
from typing import Any

import numpy as np

from lightning_gen.data.base import ImageDataModule, require_at_least
from lightning_gen.data.preprocessing import resize, to_channels
from lightning_gen.errors import UserError


class TorchvisionImages(ImageDataModule):
    """A data set that torchvision downloads and reads as one array.

    Args:
        image_size: resize to this many pixels a side (PIL, Lanczos); by default nothing is resized.
        channels: 1 (grey) or 3 (RGB); by default as the set has them.
    """

    torchvision_class: str
    """Its name in ``torchvision.datasets``."""
    native_shape: tuple[int, int, int]
    """``(C, H, W)`` on disk."""
    expected_files: tuple[str, ...]
    """What has to lie under ``root`` when there is no network."""
    validation_size: int
    """The last images of torchvision's train split are held out for validation."""
    preprocessing_arguments: tuple[str, ...] = ("image_size", "channels")

    def __init__(self, image_size: int | None = None, channels: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if image_size is not None:
            require_at_least("image_size", image_size, 1)
        if channels not in (None, 1, 3):
            raise UserError(f"data.channels: expected 1 (grey) or 3 (RGB), got {channels!r}")
        native_channels, height, _ = self.native_shape
        self.image_size = image_size or height
        self.channels = channels or native_channels
        self.data_shape = (self.channels, self.image_size, self.image_size)

    def prepare_data(self) -> None:
        """Download what is not there yet."""
        self._open("train", download=True)

    def load(self, split: str) -> tuple[np.ndarray, np.ndarray]:
        dataset = self._open(split, download=False)
        # MNIST is (N, H, W), CIFAR (N, H, W, C).
        images = np.asarray(dataset.data)
        images = images[:, None] if images.ndim == 3 else images.transpose(0, 3, 1, 2)
        part = self._part(split, len(images))
        return self.preprocess(images[part]), np.asarray(dataset.targets)[part]

    def preprocess(self, images: np.ndarray) -> np.ndarray:
        """uint8 ``(N, *native_shape)`` to ``(N, *data_shape)``."""
        return np.ascontiguousarray(to_channels(resize(images, self.image_size), self.channels))

    def _part(self, split: str, count: int) -> slice:
        if split == "test":
            return slice(None)
        start = count - self.validation_size
        return slice(start) if split == "train" else slice(start, None)

    def _open(self, split: str, download: bool) -> Any:
        from torchvision import datasets

        try:
            return getattr(datasets, self.torchvision_class)(self.root, train=split != "test", download=download)
        except (RuntimeError, OSError) as error:
            raise missing(self.name, self.root, self.expected_files, error) from error


def missing(name: str, root: str, expected_files: tuple[str, ...], error: Exception) -> UserError:
    """The one line for a data set that is neither on disk nor to be downloaded."""
    files = ", ".join(str(pathlib.PurePosixPath(file)) for file in expected_files)
    reason = str(error).partition("\n")[0]
    return UserError(f"data.root: no usable {name} in {root} and no download ({reason}); put there: {files}")
