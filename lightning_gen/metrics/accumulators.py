r"""Sums of features that do not depend on order, batches, threads or processes: exact fixed-point sums in float64.

A feature is moved by the middle of its range and rounded to a multiple of :math:`2^{-b}`, then summed as an integer. float64 holds integers
exactly up to :math:`2^{53}`, so addition is associative and every way of adding gives the same bits. b is chosen from the widest range and
the number of images, so that no sum can get larger; by Cauchy and Schwarz the diagonal of the sum of outer products bounds all of it, and
it is checked afterwards.
"""

from __future__ import annotations

import math
import pathlib
import tempfile
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from lightning_gen.errors import UserError
from lightning_gen.metrics.frechet import GaussianStatistics
from lightning_gen.metrics.rows import Rows
from lightning_gen.noise import philox

NUM_GROUPS = 10
"""Groups of images for error bars and for the curve over N."""

LARGEST_EXACT = 2**53

CHUNK = 128
"""Rows that are multiplied at once."""

IN_MEMORY = 256
"""Up to so many features the sums of all groups are kept in memory; beyond, in a temporary file."""

Arithmetic = Literal["fast", "reference"]


@cache
def group_of(count: int) -> np.ndarray:
    """The group of each image index: groups of one size (give or take one image), at random, whatever the order of the images means."""
    groups = philox("evaluation", "groups").permutation(count) % NUM_GROUPS
    groups.setflags(write=False)
    return groups


def fixed_point(features: Rows, name: str) -> tuple[np.ndarray, int]:
    """The middle of each feature's range, and the largest b with which no sum of products of moved features reaches 2^53.

    Raises:
        UserError: a feature is not finite.
    """
    low, high = np.full(features.shape[1], np.inf), np.full(features.shape[1], -np.inf)
    for start in range(0, len(features), CHUNK):
        rows = features[start : start + CHUNK]
        if not np.isfinite(rows).all():
            raise UserError(f"{name}: a feature is not finite")
        low, high = np.minimum(low, rows.min(0)), np.maximum(high, rows.max(0))
    widest = float((high - low).max(initial=0)) / 2
    if widest == 0:
        return (low + high) / 2, 0
    # The rounding adds half a unit to the widest; a hundredth of a bit is more than that.
    room = (math.log2(LARGEST_EXACT) - math.log2(len(features))) / 2 - math.log2(widest) - 0.01
    return (low + high) / 2, math.floor(room)


class GroupSums:
    """Count, sum and sum of outer products of features, per group of images.

    Args:
        features: ``(N, d)``.
        name: what the features are of, for messages.
        arithmetic: ``fast`` sums exactly in fixed point; ``reference`` sums the float64 features as they are, in the order of the index.
        device: where the products are computed.
    """

    def __init__(self, features: Rows, name: str = "features", arithmetic: Arithmetic = "fast", device: torch.device | str = "cpu") -> None:
        self.features = features
        self.num_features = features.shape[1]
        self.name = name
        self.device = torch.device(device)
        self.bits: int | None = None
        self.shift = torch.zeros(self.num_features, dtype=torch.float64)
        if arithmetic == "fast":
            middle, self.bits = fixed_point(features, name)
            self.shift = torch.from_numpy(middle)
        self.groups = sorted({*group_of(len(features)).tolist()})
        self.counts = np.bincount(group_of(len(features)), minlength=NUM_GROUPS)
        self._sums: dict[int, tuple[Tensor, Tensor]] = {}
        self._scratch: tempfile.TemporaryDirectory[str] | None = None

    @property
    def count(self) -> int:
        """N."""
        return len(self.features)

    def gaussian(self, groups: Iterable[int] | None = None) -> GaussianStatistics:
        """Mean and unbiased covariance of the features in some groups (all by default); the features themselves where N <= d."""
        chosen = self.groups if groups is None else sorted({*groups} & {*self.groups})
        count = int(self.counts[chosen].sum())
        if count < 2:
            raise UserError(f"{self.name}: a covariance needs at least 2 images, got {count}")
        if count <= self.num_features:
            rows = torch.from_numpy(self.features[np.flatnonzero(np.isin(group_of(self.count), chosen))]).to(torch.float64)
            return GaussianStatistics(count, rows.mean(0), None, rows=rows)
        total, outer = self._total(chosen)
        centre = total / count
        outer.addr_(centre, centre, alpha=-count).div_(count - 1)
        return GaussianStatistics(count, centre + self.shift, outer)

    def _total(self, groups: list[int]) -> tuple[Tensor, Tensor]:
        """Sum and sum of outer products of the moved features over groups, in units of 1, on the CPU."""
        total, outer = torch.zeros(self.num_features, dtype=torch.float64), None
        for group in groups:
            group_sum, group_outer = self._group(group)
            total += group_sum
            if outer is None:  # its own memory: what comes from a file is ours, what is kept is not
                outer = group_outer.clone() if group in self._sums else group_outer
            else:
                outer.add_(group_outer)
            del group_outer
        assert outer is not None
        if self.bits is None:
            return total, outer
        if not float(outer.diagonal().max()) < LARGEST_EXACT:
            raise RuntimeError(f"{self.name}: the sum of outer products is not exact")
        return total.mul_(2.0**-self.bits), outer.mul_(2.0 ** (-2 * self.bits))

    def _group(self, group: int) -> tuple[Tensor, Tensor]:
        if group in self._sums:
            total, outer = self._sums[group]
        elif self._scratch is not None and (file := self._file(group)).is_file():
            return torch.from_numpy(np.load(file.with_suffix(".sum.npy"))), torch.from_numpy(np.load(file))
        else:
            total, outer = self._add_up(group)
            self._keep(group, total, outer)
        return total, outer

    def _keep(self, group: int, total: Tensor, outer: Tensor) -> None:
        if self.num_features <= IN_MEMORY:
            self._sums[group] = total, outer
            return
        if self._scratch is None:
            self._scratch = tempfile.TemporaryDirectory(prefix="lightning-gen-sums-")
        file = self._file(group)
        try:
            np.save(file.with_suffix(".sum.npy"), total.numpy())
            np.save(file, outer.numpy())
        except OSError as error:
            raise UserError(f"{file.parent}: sums of features cannot be written ({error.strerror or error})") from error

    def _file(self, group: int) -> pathlib.Path:
        assert self._scratch is not None
        return pathlib.Path(self._scratch.name) / f"outer-{group}.npy"

    def _add_up(self, group: int) -> tuple[Tensor, Tensor]:
        """A group's sums in units of 2^-b and 2^-2b, on the CPU."""
        total = torch.zeros(self.num_features, dtype=torch.float64, device=self.device)
        outer = torch.zeros(self.num_features, self.num_features, dtype=torch.float64, device=self.device)
        shift = self.shift.to(self.device)
        # One buffer for all chunks: memory that is asked for and given back again and again stays with the process.
        buffer = torch.empty(CHUNK, self.num_features, dtype=torch.float64, device=self.device)
        for rows in self._chunks(group):
            values = buffer[: len(rows)].copy_(torch.from_numpy(rows))
            if self.bits is not None:
                values.sub_(shift).mul_(2.0**self.bits).round_()
            total += values.sum(0)
            outer.addmm_(values.T, values)
        return total.cpu(), outer.cpu()

    def _chunks(self, group: int) -> Iterator[np.ndarray]:
        indices = np.flatnonzero(group_of(self.count) == group)
        return (self.features[indices[start : start + CHUNK]] for start in range(0, len(indices), CHUNK))
