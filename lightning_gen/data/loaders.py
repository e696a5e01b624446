"""What Lightning iterates over: a training loader that any position can start, and an evaluation loader that visits every index once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from lightning_gen.data.sampler import KeyedOrder, evaluation_blocks
from lightning_gen.data.stores import Store
from lightning_gen.noise import IndexedNoise, Noise, stable_hash

Batch = tuple[Tensor, Tensor]
"""uint8 images ``(B, C, H, W)`` (or float32 vectors ``(B, D)``) and int64 labels ``(B,)`` or ``(B, A)``."""


class TrainLoader:
    """One epoch of this rank's parts of the global batches; it keeps no position of its own.

    Args:
        store: the training images.
        order: which of them each batch holds.
        augment: what is done to a batch, with noise keyed by its position in the training.
        position: the number of global batches that the training has seen; asked when the first batch of an epoch is.
        device: where the noise is wanted.
    """

    def __init__(
        self, store: Store, order: KeyedOrder, augment: Callable[[Tensor, Noise], Tensor], position: Callable[[], int], device: torch.device
    ) -> None:
        self.store = store
        self.order = order
        self.augment = augment
        self.position = position
        self.device = device

    def __len__(self) -> int:
        """Global batches per epoch, K."""
        return self.order.num_batches

    def __iter__(self) -> Iterator[Batch]:
        """The rest of the current epoch."""
        start = self.position()
        epoch, first = divmod(start, len(self))
        for batch, (images, labels) in enumerate(self.store.stream(self.order.epoch(epoch)[first:]), start):
            yield self.augment(images, self.noise(batch)), labels

    def noise(self, batch: int) -> IndexedNoise:
        """The noise of this rank's part of global batch t: a function of the seed and the positions, whatever the world size."""
        return IndexedNoise(stable_hash(self.order.seed, "data"), self.order.positions(batch), self.device)

    # Lightning takes a loader with these two for one that can resume. The position comes from the model; this is for the reader.

    def state_dict(self) -> dict[str, Any]:
        """The position, for information."""
        return {"batches_seen": self.position()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Nothing to restore: the model's counter says where the training stands."""


class EvaluationLoader:
    """This rank's blocks of 64 consecutive images of a split; no padding, no duplicates, nothing dropped.

    Args:
        batch: from the indices of a block to its images and labels.
        count: the number of images of the split.
        rank: this process, from 0.
        world_size: the number of processes.
    """

    def __init__(self, batch: Callable[[range], Batch], count: int, rank: int, world_size: int) -> None:
        self.batch = batch
        self.blocks = evaluation_blocks(count, rank, world_size)

    def __len__(self) -> int:
        return len(self.blocks)

    def __iter__(self) -> Iterator[Batch]:
        return map(self.batch, self.blocks)
