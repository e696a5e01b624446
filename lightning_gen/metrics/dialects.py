"""Named sets of conventions for scores that other packages define with random numbers: the same features, that package's number."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from lightning_gen.errors import UserError, did_you_mean
from lightning_gen.metrics.accumulators import Arithmetic
from lightning_gen.metrics.inception_score import InceptionScore, check_splits, inception_score, seed_spread, split_scores
from lightning_gen.metrics.kernel_distance import KernelDistance, checked_subset_size, kernel_distance, summarise
from lightning_gen.metrics.kernel_variance import cubic_kernel
from lightning_gen.metrics.rows import Rows, read

SPLITS = 10
SUBSETS = 100
SUBSET_SIZE = 1000
SEED = 2020
EXTRA_SEEDS = 9


class Dialect(ABC):
    """How a package computes IS and KID from features; the Fréchet distance and the scores by neighbours are the same in all."""

    name: str

    @abstractmethod
    def inception_score(self, logits: Rows) -> InceptionScore:
        """The Inception Score of logits ``(N, K)`` in 10 splits."""

    @abstractmethod
    def kernel_distance(self, samples: Rows, real: Rows) -> KernelDistance:
        """The kernel distance of features ``(N, d)`` and ``(M, d)`` over 100 subsets of 1000, or of the smaller set's size."""


class TorchFidelity(Dialect):
    """torch-fidelity 0.4: NumPy's permutations with seed 2020, float64 scores, std with ddof 0.

    Args:
        arithmetic: see :func:`~lightning_gen.metrics.classifier_score.probability_sums`.
    """

    name = "tf1"

    def __init__(self, arithmetic: Arithmetic = "fast") -> None:
        self.arithmetic = arithmetic

    def inception_score(self, logits: Rows) -> InceptionScore:
        return inception_score(logits, SPLITS, SEED, EXTRA_SEEDS, self.arithmetic)

    def kernel_distance(self, samples: Rows, real: Rows) -> KernelDistance:
        return kernel_distance(samples, real, subsets=SUBSETS, subset_size=SUBSET_SIZE, seed=SEED)


class TorchMetrics(Dialect):
    """torchmetrics 1.9 after ``torch.manual_seed(2020)``: PyTorch's permutations, float32 throughout, IS with ddof 1 and ``chunk``.

    The entropies and the spread over seeds are not torchmetrics' and come from exact sums, over PyTorch's permutations.
    """

    name = "torchmetrics"

    def inception_score(self, logits: Rows) -> InceptionScore:
        check_splits(logits, SPLITS)
        parts = torch.from_numpy(torch_permutation(SEED, len(logits))).chunk(SPLITS)
        scores = torch.stack([_chunk_score(read(logits, part.numpy())) for part in parts])
        if not scores.isfinite().all():
            raise UserError(f"dialect {self.name!r}: the score is NaN, as probabilities underflow in float32 or logits are not finite")
        seeds = range(SEED, SEED + 1 + EXTRA_SEEDS)
        exact_scores, whole = split_scores(logits, np.array([len(part) for part in parts]), seeds, torch_permutation, "fast")
        return InceptionScore(float(scores.mean()), float(scores.std()), *whole, seed_spread(exact_scores))

    def kernel_distance(self, samples: Rows, real: Rows) -> KernelDistance:
        size = checked_subset_size(samples, real, SUBSETS, SUBSET_SIZE)
        generator = torch.Generator().manual_seed(SEED)
        values = []
        for _ in range(SUBSETS):
            # torchmetrics draws the real images first.
            y = read(real, torch.randperm(len(real), generator=generator)[:size].numpy())
            x = read(samples, torch.randperm(len(samples), generator=generator)[:size].numpy())
            values.append(_subset_value(x, y))
        scores = torch.stack(values)
        result = summarise(scores.double().numpy(), samples, real, size)
        return replace(result, mean=float(scores.mean()), std=float(scores.std(unbiased=False)))


def torch_permutation(seed: int, count: int) -> np.ndarray:
    """As torchmetrics draws it after ``torch.manual_seed(seed)``."""
    return torch.randperm(count, generator=torch.Generator().manual_seed(seed)).numpy()


def _chunk_score(logits: Tensor) -> Tensor:
    """The score of one split in float32, in torchmetrics' order of operations."""
    p, terms = logits.softmax(1), logits.log_softmax(1)
    terms.sub_(p.mean(0, keepdim=True).log()).mul_(p)
    return terms.sum(1).mean().exp()


def _subset_value(x: Tensor, y: Tensor) -> Tensor:
    """The unbiased estimate from as many rows of both in float32, in torchmetrics' order of operations."""
    count = len(x)
    alike = []
    for rows in (y, x):
        kernel = cubic_kernel(rows, rows)
        alike.append((kernel.sum(1) - kernel.diagonal()).sum())
    return (alike[0] + alike[1]) / (count * (count - 1)) - 2 * cubic_kernel(y, x).sum(0).sum() / count**2


TF1 = TorchFidelity()
TORCHMETRICS = TorchMetrics()
NAMES = (TF1.name, TORCHMETRICS.name)


def dialect(name: str, arithmetic: Arithmetic = "fast") -> Dialect:
    """The dialect of a name; torchmetrics' numbers are float32 by definition, whatever the arithmetic.

    Raises:
        UserError: there is none of this name.
    """
    if name not in NAMES:
        raise UserError(f"dialect {name!r}: unknown; {did_you_mean(name, NAMES)}")
    return TorchFidelity(arithmetic) if name == TF1.name else TORCHMETRICS
