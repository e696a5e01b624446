r"""The variance of the squared maximum mean discrepancy in closed form, for two sets of any sizes (Sutherland et al., 2017,
arXiv:1611.04488; Bounliphone et al., 2016, arXiv:1511.04581).

The estimate is a U-statistic. By Hoeffding's decomposition it is a constant, a mean over x, a mean over y and means over pairs xx', yy', xy
that are all uncorrelated, so its variance is exactly

.. math::
    \frac{4}{m} \zeta_x + \frac{4}{n} \zeta_y
    + \frac{2}{m(m-1)} \sigma_{xx}^2 + \frac{2}{n(n-1)} \sigma_{yy}^2 + \frac{4}{mn} \sigma_{xy}^2

with :math:`\zeta_x = \mathrm{var}_x(E\,k(x,x') - E\,k(x,y))` and :math:`\sigma^2` the variances of the kernel less its means over either
argument. Each is estimated without bias by sums over distinct indices.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lightning_gen.metrics.rows import Rows, block_slices, read

ROWS_PER_BLOCK = 1024
ROWS_FOR_VARIANCE = 5000


def cubic_kernel(x: Tensor, y: Tensor) -> Tensor:
    r""":math:`(x^\top y / d + 1)^3` between the rows, ``(B, B')``, in the type of the rows."""
    return torch.mm(x, y.T).div_(x.shape[1]).add_(1).pow_(3)


@dataclass(frozen=True)
class KernelSums:
    """Sums of the kernel matrix of two tables, or of one with itself, then without the diagonal.

    Args:
        rows: sum of each row, ``(M,)`` float64.
        columns: sum of each column, ``(N,)`` float64.
        squares: sum of all squares.
    """

    rows: Tensor
    columns: Tensor
    squares: float

    @classmethod
    def between(cls, x: Rows, y: Rows) -> KernelSums:
        """Of x ``(M, d)`` with y ``(N, d)``, by blocks."""
        rows, columns, squares = torch.zeros(len(x), dtype=torch.float64), torch.zeros(len(y), dtype=torch.float64), 0.0
        for place in block_slices(len(x), ROWS_PER_BLOCK):
            block = read(x, place)
            for other in block_slices(len(y), ROWS_PER_BLOCK):
                kernel = cubic_kernel(block, read(y, other)).double()
                rows[place] += kernel.sum(1)
                columns[other] += kernel.sum(0)
                squares += float(kernel.square_().sum())
        return cls(rows, columns, squares)

    @classmethod
    def within(cls, x: Rows) -> KernelSums:
        """Of x ``(M, d)`` with itself, each pair computed once."""
        rows, squares = torch.zeros(len(x), dtype=torch.float64), 0.0
        places = block_slices(len(x), ROWS_PER_BLOCK)
        for number, place in enumerate(places):
            block = read(x, place)
            kernel = cubic_kernel(block, block).double().fill_diagonal_(0)
            rows[place] += kernel.sum(1)
            squares += float(kernel.square_().sum())
            for other in places[number + 1 :]:
                kernel = cubic_kernel(block, read(x, other)).double()
                rows[place] += kernel.sum(1)
                rows[other] += kernel.sum(0)
                squares += 2 * float(kernel.square_().sum())
        return cls(rows, rows, squares)


@dataclass(frozen=True)
class VarianceComponents:
    r"""The :math:`\zeta` and :math:`\sigma^2` of the module's formula, estimated without bias; a single estimate may fall below 0."""

    first_x: float
    first_y: float
    second_xx: float
    second_yy: float
    second_xy: float

    @classmethod
    def of(cls, xx: KernelSums, yy: KernelSums, xy: KernelSums) -> VarianceComponents:
        """From the kernel's sums within x, within y and between them, of at least 4 rows each."""
        m, n = len(xx.rows), len(yy.rows)
        rows, columns, total = xy.rows, xy.columns, float(xy.rows.sum())
        row_squares, column_squares = float(rows @ rows), float(columns @ columns)
        # Expectations over distinct x, x', y, y' of the products of kernels that the names tell.
        xy_xy = xy.squares / (m * n)
        xy_xy2 = (row_squares - xy.squares) / (m * n * (n - 1))
        xy_x2y = (column_squares - xy.squares) / (m * n * (m - 1))
        xy_x2y2 = (total**2 - row_squares - column_squares + xy.squares) / (m * (m - 1) * n * (n - 1))
        first_x, second_xx = _one_sided(xx, rows, n)
        first_y, second_yy = _one_sided(yy, columns, m)
        return cls(first_x + xy_xy2 - xy_x2y2, first_y + xy_x2y - xy_x2y2, second_xx, second_yy, xy_xy - xy_xy2 - xy_x2y + xy_x2y2)

    def unbiased_variance(self, m: int, n: int) -> float:
        """The variance of the estimate from m and n rows."""
        return 4 * self.first_x / m + 4 * self.first_y / n + self._second_order(m, n)

    def variance(self, m: int, n: int) -> float:
        """The same with every component at least 0, for a standard error."""
        return 4 * max(self.first_x, 0) / m + 4 * max(self.first_y, 0) / n + max(self._second_order(m, n), 0)

    def _second_order(self, m: int, n: int) -> float:
        return 2 * self.second_xx / (m * (m - 1)) + 2 * self.second_yy / (n * (n - 1)) + 4 * self.second_xy / (m * n)


def _one_sided(within: KernelSums, across: Tensor, others: int) -> tuple[float, float]:
    """The part of the first-order component that involves the kernel within one set, and that set's second-order component.

    Args:
        within: the sums within the set, of m rows.
        across: the row sums of the kernel with the other set, ``(m,)``.
        others: rows of the other set.
    """
    rows = within.rows
    m, total = len(rows), float(rows.sum())
    row_squares, mixed = float(rows @ rows), float(rows @ across)
    pairs, triples = m * (m - 1), m * (m - 1) * (m - 2)
    same = within.squares / pairs
    shared = (row_squares - within.squares) / triples
    apart = (total**2 - 4 * row_squares + 2 * within.squares) / (triples * (m - 3))
    with_other = mixed / (pairs * others)
    apart_from_other = (total * float(across.sum()) - 2 * mixed) / (triples * others)
    return shared - apart - 2 * (with_other - apart_from_other), same - 2 * shared + apart


class Thinned:
    """Some rows of a table, drawn at random without replacement: a sorted table's first rows would not stand for all.

    Args:
        rows: the table.
        count: at most so many.
    """

    def __init__(self, rows: Rows, count: int = ROWS_FOR_VARIANCE) -> None:
        self.rows = rows
        kept = np.random.RandomState(2020).choice(len(rows), min(count, len(rows)), replace=False)
        self.index = np.sort(kept)
        self.shape = (len(kept), rows.shape[1])

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, key: slice | np.ndarray) -> np.ndarray:
        return self.rows[self.index[key]]


def variance_components(x: Rows, y: Rows) -> VarianceComponents:
    """From at most 5000 rows of each set."""
    x, y = Thinned(x), Thinned(y)
    return VarianceComponents.of(KernelSums.within(x), KernelSums.within(y), KernelSums.between(x, y))
