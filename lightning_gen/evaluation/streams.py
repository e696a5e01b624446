"""What the engine scores: images by global index, wherever they come from."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor

from lightning_gen.data.base import ImageDataModule
from lightning_gen.noise import philox


@dataclass(frozen=True)
class ImageStream:
    """N images by global index.

    Args:
        name: what progress bars and messages call them.
        count: N.
        draw: the images of some consecutive indices (at most one block of 64) on a device, uint8 ``(B, C, H, W)``.
        shape: ``(C, H, W)`` of each image.
        labels: classes ``(N,)`` int64; None when there are none.
        key: plain data that identifies the images, by which extracted features are found again; None when nothing does.
        class_names: the name of each label, by which classes of different sets are compared.
    """

    name: str
    count: int
    draw: Callable[[range, torch.device], Tensor]
    shape: tuple[int, ...]
    labels: np.ndarray | None = field(default=None, repr=False)
    key: dict[str, Any] | None = None
    class_names: tuple[str, ...] | None = None


def split_stream(data: ImageDataModule, split: str, count: int | None = None) -> ImageStream:
    """The real images of a split; with ``count``, so many of them in an order that mixes a sorted set."""
    size = data.split_size(split)
    order = None if count is None else philox("evaluation", "floor").permutation(size)[:count]
    labels = data.arrays(split)[1] if data.num_classes else None
    identity = {} if "content" in (protocol := data.protocol(split)) else {"pixels": content_of(data, split)}

    def draw(block: range, device: torch.device) -> Tensor:
        return data.batch(split, block if order is None else order[block.start : block.stop].tolist(), device)[0]

    return ImageStream(
        name=f"{data.name} ({split})",
        count=size if order is None else len(order),
        draw=draw,
        shape=tuple(data.data_shape),
        labels=labels if labels is None or order is None else labels[order],
        key=protocol | identity | ({} if order is None else {"first": len(order)}),
        class_names=tuple(getattr(data, "classes", ())) or (tuple(map(str, range(data.num_classes))) if data.num_classes else None),
    )


_contents: WeakKeyDictionary[ImageDataModule, dict[str, str]] = WeakKeyDictionary()


def content_of(data: ImageDataModule, split: str) -> str:
    """A hash of a split's images and labels, since a name and a folder do not say what lies there."""
    known = _contents.setdefault(data, {})
    if split not in known:
        digest = hashlib.blake2b(digest_size=16)
        for array in data.arrays(split):
            digest.update(repr((array.shape, array.dtype.str)).encode())
            for start in range(0, len(array), 4096):
                digest.update(np.ascontiguousarray(array[start : start + 4096]).data)
        known[split] = digest.hexdigest()
    return known[split]


def model_stream(model: Any, count: int, seed: int, key: dict[str, Any] | None = None) -> ImageStream:
    """Samples 0 ... N - 1 of a seed, within :meth:`GenerativeModel.inference`.

    Args:
        model: a :class:`GenerativeModel` that can be sampled.
        count: N.
        seed: keys the noise.
        key: what identifies the weights (a checkpoint's hash and how they are used); None when they live in memory only.
    """
    labels = model.default_labels(range(count)).numpy() if model.conditional and model.num_classes else None
    draw = _draw_from(model, seed)
    key = None if key is None else {**key, "seed": seed, "device": model.device.type}
    names = None if labels is None else tuple(map(str, range(model.num_classes)))
    return ImageStream("samples", count, draw, tuple(model.data_shape), labels, key, names)


def _draw_from(model: Any, seed: int) -> Callable[[range, torch.device], Tensor]:
    def draw(block: range, device: torch.device) -> Tensor:
        images: Tensor = model.sample_block(seed, block)
        return images.to(device)

    return draw
