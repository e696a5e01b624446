r"""The order of training: a function of (seed, epoch), so that an interrupted run goes on exactly and ranks never share an image.

Global batch t, counted over the whole training from 0, is batch :math:`t \bmod K` of epoch :math:`\lfloor t / K \rfloor`, where
:math:`K = \lfloor N / B \rfloor`: the last incomplete global batch of an epoch is dropped. Rank r of W gets the r-th of the W equal
contiguous parts of each global batch.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lightning_gen.errors import UserError
from lightning_gen.noise import blocks, philox


def epoch_order(seed: int, epoch: int, count: int) -> np.ndarray:
    """The permutation of [0, count) that an epoch follows: int64 ``(count,)``."""
    return philox(seed, epoch, "order").permutation(count)


@dataclass(frozen=True)
class KeyedOrder:
    """Which images rank ``rank`` of ``world_size`` gets at each global batch.

    Args:
        count: the number of training images, N.
        batch_size: the global batch size, B.
        seed: what the order is a function of, besides the epoch.
        rank: this process, from 0.
        world_size: the number of processes, W.

    Raises:
        UserError: W does not divide B, or B exceeds N.
    """

    count: int
    batch_size: int
    seed: int
    rank: int = 0
    world_size: int = 1

    def __post_init__(self) -> None:
        if self.batch_size % self.world_size:
            raise UserError(
                f"data.batch_size: {self.batch_size} is the global batch size; expected a multiple of the {self.world_size} processes"
            )
        if self.batch_size > self.count:
            raise UserError(f"data.batch_size: expected at most the {self.count} images of the training split, got {self.batch_size}")

    @property
    def num_batches(self) -> int:
        """Global batches per epoch, K."""
        return self.count // self.batch_size

    def epoch(self, epoch: int) -> np.ndarray:
        """This rank's images of every global batch of an epoch: int64 ``(K, B / W)``."""
        order = epoch_order(self.seed, epoch, self.count)[: self.num_batches * self.batch_size]
        return order.reshape(self.num_batches, self.world_size, -1)[:, self.rank]

    def positions(self, batch: int) -> range:
        """The positions of this rank's part of global batch t in the sequence of all training images: they key its randomness."""
        size = self.batch_size // self.world_size
        start = batch * self.batch_size + self.rank * size
        return range(start, start + size)


def evaluation_blocks(count: int, rank: int, world_size: int) -> list[range]:
    """The blocks of 64 consecutive indices that a rank evaluates: block b goes to rank b mod W; together they are [0, count)."""
    return list(blocks(count))[rank::world_size]
