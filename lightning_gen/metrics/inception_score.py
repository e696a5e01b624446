r"""The Inception Score (Salimans et al., 2016, arXiv:1606.03498) over random splits, as torch-fidelity computes it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from lightning_gen.errors import UserError
from lightning_gen.metrics.accumulators import Arithmetic
from lightning_gen.metrics.classifier_score import classifier_score, entropies, probability_sums
from lightning_gen.metrics.rows import Rows, check_table


@dataclass(frozen=True)
class InceptionScore:
    r"""The mean score of the splits, with what it is made of.

    Args:
        mean, std: over the splits of one permutation. The std tells how much the splits differ, not how far the mean is off.
        marginal_entropy, conditional_entropy: H(y) and E H(y|x) of all images at once, in nats; exp of their difference is the score in one
            split.
        seed_spread: the std (ddof 1) of the mean over several permutations; None when only one was asked for.
    """

    mean: float
    std: float
    marginal_entropy: float
    conditional_entropy: float
    seed_spread: float | None


Permutation = Callable[[int, int], np.ndarray]
"""(seed, N) to a permutation of N."""


def numpy_permutation(seed: int, count: int) -> np.ndarray:
    """As torch-fidelity draws it."""
    return np.random.RandomState(seed).permutation(count)


def inception_score(
    logits: Rows, splits: int = 10, seed: int = 2020, extra_seeds: int = 9, arithmetic: Arithmetic = "fast"
) -> InceptionScore:
    r""":math:`\exp(H(y) - E_x H(y|x))`, averaged over splits of the shuffled images.

    Each image's split is known from its index beforehand, so the logits are read once, in order; equal to torch-fidelity's.

    Args:
        logits: ``(N, K)``, row i of image i.
        splits: number of parts, from ``i * N // splits`` to ``(i + 1) * N // splits`` of the permutation.
        seed: of ``numpy.random.RandomState``, which permutes the images.
        extra_seeds: how many further permutations (seeds seed + 1, ...) to use for ``seed_spread``.
        arithmetic: see :func:`~lightning_gen.metrics.classifier_score.probability_sums`.

    Raises:
        UserError: fewer images than splits, or logits that are not finite.
    """
    check_splits(logits, splits)
    edges = np.arange(splits + 1) * len(logits) // splits
    seeds = range(seed, seed + 1 + extra_seeds)
    scores, whole = split_scores(logits, np.diff(edges), seeds, numpy_permutation, arithmetic)
    return InceptionScore(float(scores[0].mean()), float(scores[0].std()), *whole, seed_spread(scores))


def check_splits(logits: Rows, splits: int) -> None:
    """At least one split, and an image for each.

    Raises:
        UserError: it is not so.
    """
    if splits < 1:
        raise UserError(f"splits: expected at least 1, got {splits}")
    check_table(f"logits in {splits} splits", logits, splits)


def split_scores(
    logits: Rows, sizes: np.ndarray, seeds: Sequence[int], permutation: Permutation, arithmetic: Arithmetic
) -> tuple[np.ndarray, tuple[float, float]]:
    """The scores ``(len(seeds), len(sizes))`` of splits of these sizes, and H(y) and E H(y|x) of all images."""
    sums, sums_log = probability_sums(logits, [_splits(permutation(seed, len(logits)), sizes) for seed in seeds], len(sizes), arithmetic)
    scores = [
        [classifier_score(size, p, float(p_log_p)) for size, p, p_log_p in zip(sizes, row, row_log, strict=True)]
        for row, row_log in zip(sums, sums_log, strict=True)
    ]
    return np.array(scores), entropies(len(logits), sums[0].sum(0), float(sums_log[0].sum()))


def seed_spread(scores: np.ndarray) -> float | None:
    """The std over permutations of the mean over splits, from ``(permutations, splits)``."""
    return float(scores.mean(1).std(ddof=1)) if len(scores) > 1 else None


def _splits(permutation: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """The split of each image: the one that contains its place in the permutation."""
    splits = np.empty(len(permutation), dtype=np.int64)
    splits[permutation] = np.repeat(np.arange(len(sizes)), sizes)
    return splits
