r"""Nearest neighbours in feature space, and what they tell about memorised training images.

Features are rounded to a multiple of :math:`2^{-b}`, b as large as lets squared distances stay below :math:`2^{53}`: about the precision of
float32. Then float64 computes every squared distance exactly, so that a pair has the same distance in whichever block it comes up, equal
distances are equal, and copies are at distance 0.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from lightning_gen.errors import UserError
from lightning_gen.metrics.rows import Rows, block_slices, blocks, check_table, check_tables, read

ROWS_PER_BLOCK = 1024


class ExactDistances:
    """Squared Euclidean distances between rows of some tables, as integers in units of ``unit``.

    Args:
        tables: the tables whose rows will be compared.

    Raises:
        UserError: values that are not finite.
    """

    def __init__(self, **tables: Rows) -> None:
        largest = 0.0
        for name, table in tables.items():
            for block, values in blocks(table, ROWS_PER_BLOCK):
                norm = float(np.einsum("ij,ij->i", values.double(), values.double()).max())
                if not math.isfinite(norm):
                    raise UserError(f"{name}: features are not finite in rows {block.start} to {block.stop - 1}")
                largest = max(largest, norm)
        # A squared distance is at most 4 times the largest squared norm; one bit is kept for the rounding.
        self.bits = (52 - math.ceil(math.log2(4 * largest))) // 2 if largest else 0
        self.unit = 4.0**-self.bits

    def prepare(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """Rows in units of 2^-b ``(B, d)`` and their squared norms ``(B,)``, float64 integers."""
        values = values.double().mul_(2.0**self.bits).round_()
        norms = torch.from_numpy(np.einsum("ij,ij->i", values.numpy(), values.numpy()))
        assert 4 * norms.max() < 2.0**53, "a squared distance left the range in which float64 is exact"
        return values, norms

    def between(self, x: tuple[Tensor, Tensor], y: tuple[Tensor, Tensor]) -> Tensor:
        """Squared distances ``(B, B')`` of prepared rows."""
        return torch.addmm(y[1], x[0], y[0].T, alpha=-2).add_(x[1].unsqueeze(1))

    def blocks(self, rows: Rows, start: int = 0) -> Iterator[tuple[slice, tuple[Tensor, Tensor]]]:
        """The blocks of a table from number ``start`` on, prepared, each with its place."""
        for place in block_slices(len(rows), ROWS_PER_BLOCK)[start:]:
            yield place, self.prepare(read(rows, place))

    def to_neighbours(self, rows: Rows, k: int) -> Tensor:
        """The squared distance of each row to its 1st, ..., k-th nearest other row of the table, ``(N, k)``; each pair is computed once."""
        nearest = torch.full((len(rows), k + 1), math.inf, dtype=torch.float64)
        for number, (place, x) in enumerate(self.blocks(rows)):
            for other, y in self.blocks(rows, number):
                distances = self.between(x, y)
                nearest[place] = _smallest(nearest[place], distances)
                if other != place:
                    nearest[other] = _smallest(nearest[other], distances.T.contiguous())
        return nearest[:, 1:]  # the first is the distance to itself, 0


def _smallest(best: Tensor, distances: Tensor) -> Tensor:
    """The smallest of each row of both, in order, as many as ``best`` has."""
    count = best.shape[1]
    nearest = distances.topk(min(count, distances.shape[1]), largest=False).values
    return torch.cat([best, nearest], 1).sort(1).values[:, :count]


def nearest_neighbours(queries: Rows, table: Rows, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Euclidean distances and indices of the k rows of the table nearest to each query, nearest first; among equals the lowest index first.

    Args:
        queries: ``(Q, d)``.
        table: ``(N, d)``.

    Returns:
        Distances ``(Q, k)`` float64 and indices ``(Q, k)`` int64.

    Raises:
        UserError: k is not in [1, N], different numbers of features, or values that are not finite.
    """
    if k < 1:
        raise UserError(f"k: expected at least 1, got {k}")
    check_tables(queries, table, 1)
    check_table("table", table, k)
    exact = ExactDistances(queries=queries, table=table)
    distances = np.empty((len(queries), k))
    indices = np.empty((len(queries), k), dtype=np.int64)
    for place, x in exact.blocks(queries):
        best, where = torch.empty(len(x[0]), 0, dtype=torch.float64), torch.empty(len(x[0]), 0, dtype=torch.int64)
        for other, y in exact.blocks(table):
            candidates = torch.cat([best, exact.between(x, y)], 1)
            names = torch.cat([where, torch.arange(other.start, other.stop).expand(len(x[0]), -1)], 1)
            # Stable: those found before have the lower indices and come first.
            best, order = candidates.sort(stable=True)
            best, where = best[:, :k], names.gather(1, order[:, :k])
        distances[place], indices[place] = best.mul(exact.unit).sqrt(), where
    return distances, indices


def authenticity(samples: Rows, train: Rows) -> float:
    """The share of samples that are no copies of training images (Alaa et al., 2021, arXiv:2102.08921).

    A sample is authentic when it is farther from its nearest training image than that image's nearest other training image is.
    Times 100 it is the "AuthPct" of dgm-eval; 1 is best.

    Args:
        samples: ``(N, d)``.
        train: ``(M, d)``, the images trained on.

    Raises:
        UserError: fewer than 2 training images, no samples, different numbers of features, or values that are not finite.
    """
    check_tables(samples, train, 1)
    check_table("train", train, 2)
    exact = ExactDistances(samples=samples, train=train)
    radius = exact.to_neighbours(train, 1)[:, 0]
    authentic = 0
    for _, x in exact.blocks(samples):
        best, where = torch.full((len(x[0]),), math.inf, dtype=torch.float64), torch.zeros(len(x[0]), dtype=torch.int64)
        for other, y in exact.blocks(train):
            nearest, index = exact.between(x, y).min(1)
            where = torch.where(nearest < best, index + other.start, where)
            best = torch.minimum(best, nearest)
        authentic += int((best > radius[where]).sum())
    return authentic / len(samples)
