"""Where the pixels of a split lie: one tensor on the device for sets that fit, or a (memory-mapped) array that worker processes read."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from lightning_gen.noise import blocks

Gathered = tuple[Tensor, Tensor]
"""Images ``(B, *data_shape)`` and labels ``(B,)`` or ``(B, A)`` on the store's device."""

Prepare = Callable[[Tensor, Sequence[int]], Tensor]
"""A deterministic treatment of the pixels of the images with the given indices (bit depth, fixed binarization)."""

RESIDENT_BYTES = 3 * 2**30
"""Splits of up to 3 GiB (CelebA at 64x64 is 2 GiB) live on the device if they take at most a quarter of its memory; others are streamed."""

NUM_WORKERS = 2
"""Processes that read a streamed split; they only copy bytes, so few suffice."""


class Store(Protocol):
    """Random access to a split's prepared images."""

    def gather(self, indices: Sequence[int]) -> Gathered:
        """The images and labels with these indices."""

    def stream(self, batches: np.ndarray) -> Iterator[Gathered]:
        """One :meth:`gather` per row of ``batches`` (int64 ``(K, B)``), read ahead where that helps."""


def fits(num_bytes: int, device: torch.device) -> bool:
    """Whether a split of this size is kept on the device as a whole."""
    limit = RESIDENT_BYTES
    if device.type == "cuda":
        limit = min(limit, torch.cuda.get_device_properties(device).total_memory // 4)
    return num_bytes <= limit


class ResidentStore:
    """A split as one tensor on the device.

    Args:
        images: ``(N, *data_shape)``, uint8 or float32.
        labels: int64 ``(N,)`` or ``(N, A)``.
        prepare: applied once, here.
        device: where the tensors live.
    """

    def __init__(self, images: np.ndarray, labels: np.ndarray, prepare: Prepare, device: torch.device) -> None:
        prepared = [prepare(torch.from_numpy(np.array(images[block.start : block.stop])), block) for block in blocks(len(images))]
        self.images = torch.cat(prepared).to(device)
        self.labels = torch.from_numpy(labels).to(device)

    def gather(self, indices: Sequence[int]) -> Gathered:
        if isinstance(indices, range) and indices.step == 1:
            part = slice(indices.start, indices.stop)
            return self.images[part].clone(), self.labels[part].clone()
        return self._take(torch.as_tensor(indices, dtype=torch.int64, device=self.images.device))

    def stream(self, batches: np.ndarray) -> Iterator[Gathered]:
        # The whole order goes to the device at once: a copy per step would make every step wait for it.
        return map(self._take, torch.from_numpy(batches).to(self.images.device))

    def _take(self, indices: Tensor) -> Gathered:
        return self.images[indices], self.labels[indices]


class StreamedStore:
    """A split that stays in memory or in a memory-mapped file of the host; batches are moved to the device one by one.

    Args:
        images: ``(N, *data_shape)``, uint8 or float32.
        labels: int64 ``(N,)`` or ``(N, A)``.
        prepare: applied to every batch.
        device: where batches are wanted.
    """

    def __init__(self, images: np.ndarray, labels: np.ndarray, prepare: Prepare, device: torch.device) -> None:
        self.reader = BatchReader(images, labels)
        self.prepare = prepare
        self.device = device

    def gather(self, indices: Sequence[int]) -> Gathered:
        return self._finish(self.reader[np.asarray(indices, np.int64)], indices)

    def stream(self, batches: np.ndarray) -> Iterator[Gathered]:
        # Forked workers share the array; any other start method would send each of them a copy of the whole split.
        fork = "fork" in multiprocessing.get_all_start_methods()
        loader = torch.utils.data.DataLoader(
            self.reader,
            batch_size=None,
            sampler=batches,
            num_workers=NUM_WORKERS if fork else 0,
            multiprocessing_context="fork" if fork else None,
            generator=torch.Generator(),  # not the global one, which training keys by step
            pin_memory=self.device.type == "cuda",
        )
        for indices, batch in zip(batches, loader, strict=True):
            yield self._finish(batch, indices.tolist())

    def _finish(self, batch: Gathered, indices: Sequence[int]) -> Gathered:
        images, labels = (part.to(self.device, non_blocking=True) for part in batch)
        return self.prepare(images, indices), labels


class BatchReader(torch.utils.data.Dataset):
    """What a worker process runs: a row of indices in, images and labels out."""

    def __init__(self, images: np.ndarray, labels: np.ndarray) -> None:
        self.images = images
        self.labels = labels

    def __getitem__(self, indices: np.ndarray) -> Gathered:
        return torch.from_numpy(self.images[indices]), torch.from_numpy(self.labels[indices])
