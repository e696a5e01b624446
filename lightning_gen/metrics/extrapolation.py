r"""The Fréchet distance at infinitely many samples, from its values at growing N (Chong & Forsyth, 2020, arXiv:1911.07023)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lightning_gen.errors import UserError

SAMPLES_PER_FEATURE = 2.4
"""Below this many samples per feature the distance is not linear in 1/N yet."""


@dataclass(frozen=True)
class Extrapolation:
    """The line ``value + slope / N`` through the distances.

    Args:
        value: the distance at N = infinity; may be negative when the distance is nearly 0.
        stderr: of the value; None when that of the distance at the largest count was not given.
        counts, values: the points that the line was fitted to.
        slope: of the line in 1/N.
    """

    value: float
    stderr: float | None
    counts: tuple[int, ...]
    values: tuple[float, ...]
    slope: float


def smallest_count(num_features: int) -> int:
    """The fewest samples for a point of the fit: 2.4 per feature."""
    return math.ceil(SAMPLES_PER_FEATURE * num_features)


def fd_infinity(counts: Sequence[int], values: Sequence[float], smallest: int, stderr: float | None = None) -> Extrapolation | None:
    r"""Least squares fit of :math:`\mathrm{FD}_N = \mathrm{FD}_\infty + s / N` to the distances of the first N samples of one set.

    The points are not independent, as the larger sets contain the smaller ones. To leading order a distance errs by the mean over its
    samples of an influence, so that for :math:`m \le n`: :math:`\mathrm{cov}(\mathrm{FD}_m, \mathrm{FD}_n) = \mathrm{var}\,\mathrm{FD}_n
    \propto 1/n`. The fit is linear in the values, hence its variance follows, without the reference's own error and the curvature in 1/N.

    Args:
        counts: N, growing.
        values: the distance of each.
        smallest: points with fewer samples are left out, see :func:`smallest_count`.
        stderr: standard error of the value at the largest count.

    Returns:
        The fit, or None when fewer than 3 points are left.

    Raises:
        UserError: counts that do not grow from at least 1, as many values, or values that are not finite.
    """
    if len(counts) != len(values) or any(b <= a for a, b in zip([0, *counts], counts, strict=False)):
        raise UserError(f"counts: expected {len(values)} growing numbers of samples, got {list(counts)}")
    if not np.isfinite(values).all():
        raise UserError(f"values: expected finite distances, got {list(values)}")
    points = [(int(count), float(value)) for count, value in zip(counts, values, strict=True) if count >= smallest]
    if len(points) < 3:
        return None
    used, distances = zip(*points, strict=True)
    x = 1 / np.array(used)
    intercept, slope = np.linalg.pinv(np.stack([np.ones_like(x), x], 1))  # (2, P): the fit as weights of the values
    # Relative to the variance at the largest count, 1/N times that count.
    covariance = np.minimum.outer(x, x) * used[-1]
    error = None if stderr is None else stderr * math.sqrt(intercept @ covariance @ intercept)
    return Extrapolation(float(intercept @ distances), error, used, distances, float(slope @ distances))
