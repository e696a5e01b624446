r"""The kernel distance (KID; Bińkowski et al., 2018, arXiv:1801.01401): squared maximum mean discrepancy with a cubic kernel."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lightning_gen.errors import UserError
from lightning_gen.metrics.kernel_variance import KernelSums, VarianceComponents, cubic_kernel, variance_components
from lightning_gen.metrics.rows import Rows, check_tables, read


@dataclass(frozen=True)
class KernelDistance:
    """The mean over random subsets, as torch-fidelity computes it.

    Args:
        mean: an unbiased estimate of the squared discrepancy; slightly negative values are normal when the sets are alike.
        std: over the subsets (ddof 0): how much sets of ``subset_size`` images differ, not how far the mean is off.
        stderr: how far the mean is off, from the closed-form variance of the estimate of all images and that of drawing the subsets.
        subset_size: images in a subset.
    """

    mean: float
    std: float
    stderr: float
    subset_size: int


def kernel_distance(samples: Rows, real: Rows, *, subsets: int = 100, subset_size: int = 1000, seed: int = 2020) -> KernelDistance:
    r"""The mean of the unbiased estimate over random subsets; equal to torch-fidelity's with the samples as its first input.

    Args:
        samples: features of generated images, ``(N, d)`` float32.
        real: features of real images, ``(M, d)`` float32.
        subsets: number of subsets.
        subset_size: images per subset; when a set has fewer, the size of the smaller set is taken, and the result says so.
        seed: of ``numpy.random.RandomState``, which draws the subsets.

    Raises:
        UserError: fewer than 4 images in a set, different numbers of features, or values that are not finite.
    """
    size = checked_subset_size(samples, real, subsets, subset_size)
    generator = np.random.RandomState(seed)
    values = []
    for _ in range(subsets):
        x = read(samples, generator.choice(len(samples), size, replace=False))
        y = read(real, generator.choice(len(real), size, replace=False))
        values.append(_subset_value(x, y))
    return summarise(np.array(values), samples, real, size)


def checked_subset_size(samples: Rows, real: Rows, subsets: int, subset_size: int) -> int:
    """The size of the subsets that both sets allow.

    Raises:
        UserError: as :func:`kernel_distance`.
    """
    check_tables(samples, real, 4)
    if subsets < 1 or subset_size < 2:
        raise UserError(f"subsets, subset_size: expected at least 1 subset of at least 2 images, got {subsets}, {subset_size}")
    return min(subset_size, len(samples), len(real))


def summarise(values: np.ndarray, samples: Rows, real: Rows, size: int) -> KernelDistance:
    """The result of subset values ``(subsets,)``, with its standard error.

    Raises:
        UserError: the values are not finite.
    """
    if not np.isfinite(values).all():
        raise UserError("samples, real: features are not finite, or too large for a cubic kernel in float32")
    of_all = variance_components(samples, real).variance(len(samples), len(real))
    return KernelDistance(float(values.mean()), float(values.std()), math.sqrt(of_all + float(values.var()) / len(values)), size)


def _subset_value(x: Tensor, y: Tensor) -> float:
    """The unbiased estimate from as many rows of both; "unbiased" as torch-fidelity uses the word: with all pairs of x and y."""
    count = len(x)
    alike = 0.0
    for rows in (x, y):
        kernel = cubic_kernel(rows, rows)
        alike += float(kernel.sum(dtype=torch.float64) - kernel.diagonal().sum(dtype=torch.float64))
    return alike / (count * (count - 1)) - 2 * float(cubic_kernel(x, y).mean(dtype=torch.float64))


def mmd_u_statistic(x: Rows, y: Rows) -> tuple[float, float]:
    """The squared discrepancy of two whole sets, without subsets, and an unbiased estimate of its variance (which may fall below 0).

    Args:
        x: ``(M, d)``.
        y: ``(N, d)``.

    Raises:
        UserError: fewer than 4 rows in a set, or different numbers of features.
    """
    check_tables(x, y, 4)
    sums = KernelSums.within(x), KernelSums.within(y), KernelSums.between(x, y)
    m, n = len(x), len(y)
    value = float(sums[0].rows.sum() / (m * (m - 1)) + sums[1].rows.sum() / (n * (n - 1)) - 2 * sums[2].rows.sum() / (m * n))
    return value, VarianceComponents.of(*sums).unbiased_variance(m, n)
