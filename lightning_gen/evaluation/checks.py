"""Warnings about images that would be scored but are probably not what somebody meant: copies, wrong ranges, lossy files, too few."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lightning_gen import distributed
from lightning_gen.noise import stable_hash

LOSSY_FORMATS = ("JPEG", "MPO")
"""PIL's names of formats that always lose something; WebP may be either."""

FEW, CUSTOMARY = 10_000, 50_000
"""Inception's 2048 features: below the first number of images a Fréchet distance is mostly bias, the second is what papers quote."""

INCEPTION_FEATURES = 2048
"""The bias falls like features / images, so other networks need proportionally fewer or more."""


class ImageChecks:
    """What the images of one set look like, fed block by block in any order; every process sees its own blocks.

    Args:
        name: what warnings call the images.
        count: number of images N.
    """

    def __init__(self, name: str, count: int) -> None:
        self.name = name
        self.hashes = torch.zeros(count, dtype=torch.int64)
        self.extremes = torch.zeros(count, 2, dtype=torch.int64)

    def add(self, block: range, images: Tensor) -> None:
        """Look at the uint8 images ``(B, C, H, W)`` with these consecutive indices."""
        images = images.cpu()
        place = slice(block.start, block.stop)
        self.hashes[place] = torch.tensor([pixel_hash(image) for image in images.numpy()])
        flat = images.flatten(1)
        self.extremes[place] = torch.stack([flat.amin(1), flat.amax(1)], 1)

    def warnings(self, device: torch.device | str = "cpu") -> list[str]:
        """One line per suspicion, the same on every rank; every rank has to ask.

        Args:
            device: where the processes' collective operations work.
        """
        # An index belongs to one rank and is zero on all others, so the sum is the whole.
        hashes = distributed.global_sum(self.hashes.to(device)).cpu().numpy()
        lowest, highest = distributed.global_sum(self.extremes.to(device)).cpu().numpy().T
        found = [duplicate_warning(hashes), constant_warning(lowest, highest), range_warning(lowest, highest)]
        return [f"{self.name}: {warning}" for warning in found if warning]


def pixel_hash(image: np.ndarray) -> int:
    """A signed 64-bit hash of an image's shape and pixels, never 0."""
    digest = hashlib.blake2b(image.tobytes(), digest_size=8, salt=stable_hash(*image.shape).to_bytes(8, "little"))
    return int.from_bytes(digest.digest(), "little", signed=True) or 1


def duplicate_warning(hashes: np.ndarray) -> str | None:
    """How many images are exact copies of an earlier one, and the first pair of indices."""
    _, first, inverse = np.unique(hashes, return_index=True, return_inverse=True)
    copies = np.flatnonzero(first[inverse] != np.arange(len(hashes)))
    if not len(copies):
        return None
    second = int(copies[0])
    verb = "is an exact copy" if len(copies) == 1 else "are exact copies"
    return f"{len(copies)} of {len(hashes)} images {verb} of an earlier one (first {int(first[inverse[second]])} and {second})"


def constant_warning(lowest: np.ndarray, highest: np.ndarray) -> str | None:
    """How many images have one value in all pixels."""
    constant = np.flatnonzero(lowest == highest)
    if not len(constant):
        return None
    return f"{len(constant)} of {len(lowest)} images have one value in all pixels (first {int(constant[0])})"


def range_warning(lowest: np.ndarray, highest: np.ndarray) -> str | None:
    """Values that betray a wrong conversion to uint8."""
    if not len(highest):
        return None
    least, greatest = int(lowest.min()), int(highest.max())
    if greatest <= 1:
        return f"no value is above {greatest}; these look like floats in [0, 1] that were not multiplied by 255"
    if greatest <= 127:
        return f"no value is above {greatest}; these look like half of the range, such as [-1, 1] floats times 127"
    if least >= 127:
        return f"no value is below {least}; these look like half of the range, such as [0, 1] floats taken for [-1, 1]"
    return None


def format_warning(key: Mapping[str, Any] | None, name: str) -> str | None:
    """Lossy files among the pictures of a folder, by the formats that its stream's key counts."""
    formats = (key or {}).get("formats", {})
    lossy = sum(count for kind, count in formats.items() if kind in LOSSY_FORMATS)
    if not lossy:
        return None
    return f"{name}: {lossy} of {sum(formats.values())} files are JPEG, whose losses move a Fréchet distance by several percent; use PNG"


def shape_warnings(shape: tuple[int, ...], reference: tuple[int, ...] | None, name: str) -> list[str]:
    """Sizes and channels ``(C, H, W)`` that differ from the reference's, or that are no picture's."""
    channels, height, width = shape
    found = []
    if channels not in (1, 3):
        found.append(f"{name}: {channels} channels; expected 1 (grey) or 3 (RGB)")
    if reference is not None and (height, width) != tuple(reference[1:]):
        found.append(f"{name}: {width}x{height} pixels against {reference[2]}x{reference[1]} of the reference; a resize by one side shows")
    if reference is not None and channels != reference[0] and channels in (1, 3):
        found.append(f"{name}: {_colour(channels)} images against a {_colour(reference[0])} reference")
    return found


def _colour(channels: int) -> str:
    return {1: "grey", 3: "RGB"}.get(channels, f"{channels}-channel")


def count_warnings(count: int, reference: int | None, num_features: int, name: str, debiased: str | None = None) -> list[str]:
    """Sets that are small for a Fréchet distance.

    Args:
        count: number of samples N.
        reference: number of real images; None when it is unknown (statistics of others), 0 likewise.
        num_features: d of the extractor.
        name: what the samples are called.
        debiased: the name of the score that corrects for a small N, where it is computed.
    """
    few, customary = (at_least * num_features // INCEPTION_FEATURES for at_least in (FEW, CUSTOMARY))
    found = []
    if count <= num_features:
        found.append(f"{name}: {count} images cannot span {num_features} features; the distance is computed exactly, but mostly bias")
    if count < customary:
        size = "is mostly bias" if count < few else "is biased upward"
        advice = f"compare {debiased}, or only with the same N" if debiased else "compare only with the same N"
        found.append(f"{name}: with {count} images of {num_features} features the distance {size} (customary are {customary}); {advice}")
    if reference and reference < few:
        found.append(f"reference: {reference} real images are few for {num_features} features; {few} or more add little bias of their own")
    return found
