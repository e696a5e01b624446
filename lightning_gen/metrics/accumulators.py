r"""Sums of features that do not depend on order, batches, threads or processes: exact fixed-point sums in float64.

A value is rounded to a multiple of :math:`2^{-b}` and summed as an integer. float64 holds integers exactly up to :math:`2^{53}`, so
addition is associative and every way of adding gives the same bits. b is chosen from the largest feature and the number of images, so that
no sum can get larger; by Cauchy and Schwarz the diagonal of the sum of outer products bounds all of it, and it is checked afterwards.
"""

from __future__ import annotations

import math
import pathlib
import tempfile
from collections.abc import Iterable, Iterator
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from lightning_gen.errors import UserError
from lightning_gen.metrics.frechet import GaussianStatistics
from lightning_gen.metrics.rows import Rows
from lightning_gen.noise import BLOCK

NUM_GROUPS = 10
"""Groups of images for error bars and for the curve over N; block b belongs to group b mod 10, which mixes the classes of a sorted set."""

LARGEST_EXACT = 2**53
MOST_BITS = 30
FEWEST_BITS = 8
"""Coarser than 2^-8, the rounding shows in a distance (1e-3 in one of 54 for Inception features)."""

CHUNK = 128
"""Rows that are multiplied at once."""

IN_MEMORY = 256
"""Up to so many features the sums of all groups are kept in memory; beyond, in a temporary file."""

Arithmetic = Literal["fast", "reference"]


def group_of(count: int) -> np.ndarray:
    """The group of each image index."""
    return np.arange(count) // BLOCK % NUM_GROUPS


def fixed_bits(features: Rows, name: str) -> int:
    """The largest b with which no sum of products of these features reaches 2^53.

    Raises:
        UserError: a feature is not finite, or so large beside the number of images that fewer than 8 bits remain.
    """
    largest = 0.0
    for start in range(0, len(features), CHUNK):
        peak = float(np.abs(features[start : start + CHUNK]).max(initial=0))
        if not math.isfinite(peak):
            raise UserError(f"{name}: a feature is not finite")
        largest = max(largest, peak)
    # Half a unit of rounding is added to the largest feature; 1 is for the final +.
    room = (math.log2(LARGEST_EXACT) - math.log2(max(len(features), 1))) / 2 - math.log2(max(largest, 2.0**-MOST_BITS)) - 0.01
    bits = min(math.floor(room), MOST_BITS)
    if bits < FEWEST_BITS:
        raise UserError(f"{name}: features up to {largest:.3g} are too large for exact sums over {len(features)} images")
    return bits


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
        self.bits = fixed_bits(features, name) if arithmetic == "fast" else None
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
        mean = total / count
        outer.addr_(mean, mean, alpha=-count).div_(count - 1)
        return GaussianStatistics(count, mean, outer)

    def _total(self, groups: list[int]) -> tuple[Tensor, Tensor]:
        """Sum and sum of outer products over groups, in units of 1, on the CPU."""
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
        np.save(file.with_suffix(".sum.npy"), total.numpy())
        np.save(file, outer.numpy())

    def _file(self, group: int) -> pathlib.Path:
        assert self._scratch is not None
        return pathlib.Path(self._scratch.name) / f"outer-{group}.npy"

    def _add_up(self, group: int) -> tuple[Tensor, Tensor]:
        """A group's sums in units of 2^-b and 2^-2b, on the CPU."""
        total = torch.zeros(self.num_features, dtype=torch.float64, device=self.device)
        outer = torch.zeros(self.num_features, self.num_features, dtype=torch.float64, device=self.device)
        # One buffer for all chunks: memory that is asked for and given back again and again stays with the process.
        buffer = torch.empty(CHUNK, self.num_features, dtype=torch.float64, device=self.device)
        for rows in self._chunks(group):
            values = buffer[: len(rows)].copy_(torch.from_numpy(rows))
            if self.bits is not None:
                values.mul_(2.0**self.bits).round_()
            total += values.sum(0)
            outer.addmm_(values.T, values)
        return total.cpu(), outer.cpu()

    def _chunks(self, group: int) -> Iterator[np.ndarray]:
        indices = np.flatnonzero(group_of(self.count) == group)
        return (self.features[indices[start : start + CHUNK]] for start in range(0, len(indices), CHUNK))
