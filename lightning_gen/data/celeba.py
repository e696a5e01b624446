"""CelebA (Liu et al., 2015, arXiv:1411.7766): aligned faces of celebrities with 40 binary attributes."""

from __future__ import annotations

import pathlib
from typing import Any

import numpy as np

from lightning_gen.data.base import SPLITS, ImageDataModule, require_at_least
from lightning_gen.data.decoding import Decoding, decoded
from lightning_gen.data.torchvision_data import missing
from lightning_gen.errors import UserError

WIDTH = 178
"""Pixels; the aligned images are 178 wide and 218 high."""

TORCHVISION_SPLITS = {"train": "train", "validation": "valid", "test": "test"}


class CelebA(ImageDataModule):
    """RGB faces: 162,770 train, 19,867 validate and 19,962 test (the set's own splits), with 40 binary attributes as labels.

    The central square of 148 pixels of the aligned 178x218 image is cut out and resized with PIL's antialiased Lanczos filter, once; the
    result is kept in ``root/decoded``.

    Args:
        image_size: pixels a side.
        crop: pixels a side of the central square, at most 178.
    """

    name = "celeba"
    summary = "RGB faces with 40 binary attributes, 202,599 images"
    num_attributes = 40
    preprocessing_arguments = ("crop", "image_size")
    expected_files = (
        "celeba/img_align_celeba/*.jpg",
        "celeba/{list_attr_celeba,list_eval_partition,identity_CelebA,list_bbox_celeba,list_landmarks_align_celeba}.txt",
    )
    """What has to lie under ``root`` when there is no network."""

    def __init__(self, image_size: int = 64, crop: int = 148, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        require_at_least("image_size", image_size, 1)
        require_at_least("crop", crop, 1)
        if crop > WIDTH:
            raise UserError(f"data.crop: expected at most {WIDTH}, the width of the images, got {crop}")
        self.image_size = image_size
        self.crop = crop
        self.data_shape = (3, image_size, image_size)

    def prepare_data(self) -> None:
        """Download and decode what is not there yet."""
        for split in SPLITS:
            self._decoded(split, download=True)

    def load(self, split: str) -> tuple[np.ndarray, np.ndarray]:
        return self._decoded(split, download=False)

    def _decoded(self, split: str, download: bool) -> tuple[np.ndarray, np.ndarray]:
        dataset = self._open(split, download)
        folder = pathlib.Path(self.root) / "celeba" / "img_align_celeba"
        decoding = Decoding(self.image_size, crop=self.crop)
        result = decoded(folder, dataset.filename, decoding, pathlib.Path(self.root) / "decoded", stop=True)
        return result.images, dataset.attr.numpy()

    def _open(self, split: str, download: bool) -> Any:
        from torchvision import datasets

        try:
            return datasets.CelebA(self.root, split=TORCHVISION_SPLITS[split], target_type="attr", download=download)
        except (RuntimeError, OSError, ImportError) as error:
            raise missing(self.name, self.root, self.expected_files, error) from error
