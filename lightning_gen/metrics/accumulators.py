r"""Sums over images that do not depend on the order, the batches or the number of processes: exact fixed-point sums in float64.

A value is rounded to a multiple of :math:`2^{-b}` and summed as an integer that float64 holds exactly up to :math:`2^{53}`, so addition is
associative and every world size gives the same bits. The sums are kept per group of images (by block), for the jackknife.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lightning_gen import distributed
from lightning_gen.errors import UserError
from lightning_gen.metrics.classifier_score import classifier_score
from lightning_gen.metrics.frechet import GaussianStatistics

NUM_GROUPS = 10
LARGEST_EXACT = float(2**53)


class FixedPointSum:
    """An exact sum of tensors of one shape, per group.

    Args:
        shape: shape of one term.
        bits: fractional bits b.
        device: where the sums live.
    """

    def __init__(self, shape: tuple[int, ...], bits: int, device: torch.device) -> None:
        self.bits = bits
        self.sums = torch.zeros(NUM_GROUPS, *shape, dtype=torch.float64, device=device)

    def add(self, group: int, integers: Tensor) -> None:
        """Add a term that is already in units of 2^-b, hence integer-valued."""
        self.sums[group] += integers

    def reduced(self, name: str) -> Tensor:
        """The sums over all ranks, in units of 1, ``(NUM_GROUPS, *shape)`` on the CPU.

        Raises:
            UserError: a sum is too large to have been exact.
        """
        sums = distributed.global_sum(self.sums).cpu()
        largest = float(sums.abs().sum(0).max()) if sums.numel() else 0.0
        if not largest < LARGEST_EXACT:
            raise UserError(f"{name}: features are too large or not finite for exact sums with {self.bits} fractional bits")
        return sums * 2.0**-self.bits


def to_fixed(values: Tensor, bits: int) -> Tensor:
    """float64 integers: the values in units of 2^-b, rounded."""
    return (values.to(torch.float64) * 2.0**bits).round()


class FeatureAccumulator:
    """Counts, means, covariances and class probabilities of a stream of images.

    Args:
        num_features: d.
        num_classes: K of the extractor's classifier.
        device: where the sums live.
    """

    feature_bits = 14
    probability_bits = 32

    def __init__(self, num_features: int, num_classes: int, device: torch.device) -> None:
        self.count = FixedPointSum((), 0, device)
        self.sum = FixedPointSum((num_features,), self.feature_bits, device)
        # The product of two features in units of 2^-b is in units of 2^-2b.
        self.outer = FixedPointSum((num_features, num_features), 2 * self.feature_bits, device)
        self.sum_p = FixedPointSum((num_classes,), self.probability_bits, device)
        self.sum_p_log_p = FixedPointSum((), self.probability_bits, device)

    def add(self, block: int, features: Tensor, log_p: Tensor) -> None:
        """Add one block of images: features ``(B, d)`` and log class probabilities ``(B, K)``."""
        group = block % NUM_GROUPS
        fixed = to_fixed(features, self.feature_bits)
        self.count.add(group, torch.tensor(float(len(features)), device=features.device))
        self.sum.add(group, fixed.sum(0))
        self.outer.add(group, fixed.T @ fixed)
        p = log_p.to(torch.float64).exp()
        self.sum_p.add(group, to_fixed(p, self.probability_bits).sum(0))
        # entr(p) = -p log p is 0 where p is.
        self.sum_p_log_p.add(group, to_fixed(-torch.special.entr(p).sum(1), self.probability_bits).sum(0))

    def reduce(self) -> FeatureSums:
        """The sums over all ranks. Every rank has to call this."""
        names = ("count", "sum", "outer", "sum_p", "sum_p_log_p")
        return FeatureSums(*(getattr(self, name).reduced(name) for name in names))


class FeatureSums:
    """Sums per group of images over all ranks; statistics of all groups, or of all but one.

    Args:
        count, sum, outer, sum_p, sum_p_log_p: ``(NUM_GROUPS, ...)`` float64.
    """

    def __init__(self, count: Tensor, sum: Tensor, outer: Tensor, sum_p: Tensor, sum_p_log_p: Tensor) -> None:
        self.parts = (count, sum, outer, sum_p, sum_p_log_p)

    def without(self, group: int) -> FeatureSums:
        """The sums with one group left out."""
        keep = [index for index in range(NUM_GROUPS) if index != group]
        return FeatureSums(*(part[keep] for part in self.parts))

    def groups(self) -> list[int]:
        """The groups that have images."""
        return self.parts[0].nonzero().flatten().tolist()

    @property
    def count(self) -> int:
        """Number of images."""
        return int(self.parts[0].sum())

    def gaussian(self) -> GaussianStatistics:
        """Mean and unbiased covariance of the features."""
        count = self.count
        mean = self.parts[1].sum(0) / count
        covariance = (self.parts[2].sum(0) - count * torch.outer(mean, mean)) / (count - 1)
        return GaussianStatistics(count, mean, covariance)

    def classifier_score(self) -> float:
        """See :func:`~lightning_gen.metrics.classifier_score.classifier_score`, over all images at once (one split)."""
        return classifier_score(self.count, self.parts[3].sum(0), float(self.parts[4].sum()))
