"""Tables of feature vectors that may be larger than the memory: read in blocks, never as a whole."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from lightning_gen.errors import UserError


class Rows(Protocol):
    """What a score needs of a table: a 2-D float32 array ``(N, d)``, or anything that is indexed like one along its rows."""

    @property
    def shape(self) -> tuple[int, ...]:
        """``(N, d)``."""

    def __len__(self) -> int:
        """N."""

    def __getitem__(self, key: Any) -> np.ndarray:
        """The rows of a slice or of an array of indices, float32."""


def read(rows: Rows, index: slice | np.ndarray) -> Tensor:
    """A private copy of some rows, so that it may be changed in place, whatever the table is."""
    return torch.from_numpy(np.array(rows[index]))


def block_slices(count: int, size: int) -> list[slice]:
    """[0, count) in blocks of ``size``, the last one possibly smaller."""
    return [slice(start, min(start + size, count)) for start in range(0, count, size)]


def blocks(rows: Rows, size: int) -> Iterator[tuple[slice, Tensor]]:
    """The table in blocks of ``size`` rows, in order, each with its place."""
    for place in block_slices(len(rows), size):
        yield place, read(rows, place)


def check_table(name: str, rows: Rows, smallest: int) -> None:
    """A table ``(N, d)`` with at least ``smallest`` rows.

    Raises:
        UserError: it is something else.
    """
    if len(rows.shape) != 2:
        raise UserError(f"{name}: expected a table (N, d), got the shape {list(rows.shape)}")
    if len(rows) < smallest:
        raise UserError(f"{name}: expected at least {smallest} rows, got {len(rows)}")


def check_tables(samples: Rows, real: Rows, smallest: int) -> None:
    """Two tables of feature vectors of one length, each with at least ``smallest`` rows.

    Raises:
        UserError: they are something else.
    """
    check_table("samples", samples, smallest)
    check_table("real", real, smallest)
    if samples.shape[1] != real.shape[1]:
        raise UserError(f"samples: have {samples.shape[1]} features, real have {real.shape[1]}; use one extractor for both")
