"""How features become scores, and what the scores are called."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lightning_gen.leaderboard.record import Better
from lightning_gen.metrics.accumulators import Arithmetic
from lightning_gen.metrics.dialects import Dialect
from lightning_gen.metrics.extractors.base import Extractor

INCEPTION_NAMES = {"FD": "FID", "CS": "IS", "KD": "KID", "FD-infinity": "FID-infinity"}
"""What scores are called when, and only when, the network is Inception with its official weights."""

DIRECTIONS: dict[str, Better] = {
    "FD": "lower",
    "CS": "higher",
    "KD": "lower",
    "FD-infinity": "lower",
    "FD per class": "lower",
    "precision": "higher",
    "recall": "higher",
    "density": "higher",
    "coverage": "higher",
    "AuthPct": "higher",
    "diversity": "higher",
}
"""Every kind of score, and which way it is better."""


RECONSTRUCTION_ERROR = "reconstruction MSE"
"""The mean squared error of reconstructions, per value on [0, 1]."""


def score_name(kind: str, extractor: str, *, is_inception: bool, dialect: str = "tf1") -> str:
    """``FID``, ``FD(mnist-cnn)``, ``precision(inception-v3-tf)``, ``IS[torchmetrics]``."""
    plain = INCEPTION_NAMES[kind] if is_inception and kind in INCEPTION_NAMES else f"{kind}({extractor})"
    return plain if dialect == "tf1" else f"{plain}[{dialect}]"


def is_split(extractor: str) -> bool:
    """Whether a network's score of its classes is the mean over 10 splits, as Inception's is by custom."""
    return extractor.startswith("inception")


@dataclass(frozen=True)
class Setting:
    """How features are turned into scores.

    Args:
        extractor: the network's name, for the scores' names.
        is_inception: whether scores may be called FID, IS and KID.
        dialect: whose conventions.
        arithmetic: exact sums, or plain float64 ones.
        exact: the Fréchet distance by singular values, which loses no digits where covariances are nearly singular.
        debiased: the Fréchet distance extrapolated from N and N/2, for small N during training.
        protocol: what the scores share of their question.
    """

    extractor: str
    is_inception: bool
    dialect: Dialect
    arithmetic: Arithmetic = "fast"
    exact: bool = False
    debiased: bool = False
    protocol: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, extractor: Extractor, **options: Any) -> Setting:
        """The setting for an extractor's features."""
        return cls(extractor.name, extractor.is_inception, **options)

    def name(self, kind: str) -> str:
        """A score's full name."""
        return score_name(kind, self.extractor, is_inception=self.is_inception, dialect=self.dialect.name)
