r"""The classifier score: the Inception Score's formula (Salimans et al., 2016, arXiv:1606.03498) with any classifier."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from lightning_gen.errors import UserError
from lightning_gen.metrics.accumulators import LARGEST_EXACT, NUM_GROUPS, Arithmetic, group_of
from lightning_gen.metrics.rows import Rows, blocks, check_table


@dataclass(frozen=True)
class ClassifierScore:
    r"""The score of all images at once, :math:`\exp(H(y) - E_x H(y|x))`, with its two entropies.

    Args:
        score: between 1 and the number of classes, higher is better.
        stderr: jackknife over 10 groups of images; None for fewer than three.
        marginal_entropy: H(y) in nats: how evenly the classes occur.
        conditional_entropy: E H(y|x) in nats: how unsure the classifier is.
    """

    score: float
    stderr: float | None
    marginal_entropy: float
    conditional_entropy: float


def entropies(count: float, sum_p: Tensor, sum_p_log_p: float) -> tuple[float, float]:
    """H(y) and E H(y|x) in nats, from sums as :func:`classifier_score` takes them."""
    return float(torch.special.entr(sum_p / count).sum()), -sum_p_log_p / count


def classifier_score(count: float, sum_p: Tensor, sum_p_log_p: float) -> float:
    r""":math:`\exp(H(y) - E_x H(y|x))` from sums over images: between 1 and the number of classes, higher is better.

    Args:
        count: number of images N.
        sum_p: sum of the predicted probabilities, ``(K,)`` float64.
        sum_p_log_p: sum over images and classes of p log p, in nats.
    """
    marginal_entropy, conditional_entropy = entropies(count, sum_p, sum_p_log_p)
    return math.exp(marginal_entropy - conditional_entropy)


def grouped_classifier_score(logits: Rows, arithmetic: Arithmetic = "fast") -> ClassifierScore:
    """The score in one split, with a jackknife error bar over the groups of :func:`~lightning_gen.metrics.accumulators.group_of`.

    Args:
        logits: ``(N, K)``, row i of image i.
        arithmetic: see :func:`probability_sums`.

    Raises:
        UserError: no rows, or logits that are not finite.
    """
    groups = group_of(len(logits))
    counts = np.bincount(groups, minlength=NUM_GROUPS)
    sum_p, sum_p_log_p = (sums[0] for sums in probability_sums(logits, [groups], NUM_GROUPS, arithmetic))
    others = [np.arange(NUM_GROUPS) != group for group in np.flatnonzero(counts)]
    stderr = None
    if len(others) > 2:
        scores = [classifier_score(counts[keep].sum(), sum_p[keep].sum(0), float(sum_p_log_p[keep].sum())) for keep in others]
        stderr = math.sqrt((len(scores) - 1) * np.var(scores))
    total = (len(logits), sum_p.sum(0), float(sum_p_log_p.sum()))
    return ClassifierScore(classifier_score(*total), stderr, *entropies(*total))


def probability_sums(logits: Rows, assignments: Sequence[np.ndarray], num_groups: int, arithmetic: Arithmetic) -> tuple[Tensor, Tensor]:
    """Sums of p and of p log p over groups of images, for several ways of grouping them, in one pass by blocks.

    With "fast" arithmetic every term is first rounded to a multiple of 2^-b, with b as large as lets the sums stay below 2^53: then float64
    adds them exactly, in any order. With "reference" they are plain float64 sums.

    Args:
        logits: ``(N, K)``.
        assignments: A arrays ``(N,)`` with the group of each image, in [0, num_groups).

    Returns:
        The sums ``(A, num_groups, K)`` and ``(A, num_groups)``, float64, in nats.

    Raises:
        UserError: no rows, or logits that are not finite.
    """
    check_table("logits", logits, 1)
    largest_group = max(np.bincount(groups).max() for groups in assignments)
    bits = _fraction_bits(largest_group), _fraction_bits(largest_group * max(math.log(logits.shape[1]), 1))
    sums = [torch.zeros(len(assignments) * num_groups, columns, dtype=torch.float64) for columns in (logits.shape[1], 1)]
    offsets = num_groups * torch.arange(len(assignments)).unsqueeze(1)
    places = torch.from_numpy(np.stack(assignments)) + offsets  # (A, N)
    for block, values in blocks(logits, 512):
        if not values.isfinite().all():
            raise UserError(f"logits: not finite in rows {block.start} to {block.stop - 1}")
        log_p = functional.log_softmax(values.double(), 1)
        p = log_p.exp()
        member = functional.one_hot(places[:, block], len(sums[0])).sum(0).double()  # (B, A * num_groups): which groups a row belongs to
        for total, terms, precision in zip(sums, (p, (p * log_p).sum(1, keepdim=True)), bits, strict=True):
            if arithmetic == "fast":
                terms = terms.mul_(2.0**precision).round_()
            total.addmm_(member.T, terms)
    if arithmetic == "fast":
        for total, precision in zip(sums, bits, strict=True):
            # All terms of a sum have one sign, so that no partial sum was larger than the whole.
            assert total.abs().max() < LARGEST_EXACT, "a fixed-point sum left the range in which float64 is exact"
            total.mul_(2.0**-precision)
    return sums[0].view(len(assignments), num_groups, -1), sums[1].view(len(assignments), num_groups)


def _fraction_bits(bound: float) -> int:
    """b such that ``bound`` in units of 2^-b is at most 2^52."""
    return 52 - math.ceil(math.log2(bound))
