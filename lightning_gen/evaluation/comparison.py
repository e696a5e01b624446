"""Samples beside real images, with what several scores share; and the jackknife."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np

from lightning_gen.errors import UserError
from lightning_gen.evaluation.extraction import FeatureSet
from lightning_gen.evaluation.references import Reference
from lightning_gen.evaluation.setting import DIRECTIONS, Setting
from lightning_gen.leaderboard.record import Score
from lightning_gen.metrics.accumulators import GroupSums
from lightning_gen.metrics.frechet import GaussianStatistics, frechet_distance


class Comparison:
    """Samples beside real images, with what several metrics share computed once.

    Args:
        samples: the features to score.
        reference: the real images; None where no metric needs them.
        setting: how.
        errors: whether to compute uncertainties, curves and scores per class too.
    """

    def __init__(self, samples: FeatureSet, reference: Reference | None, setting: Setting, errors: bool = True) -> None:
        self.samples = samples
        self.reference = reference
        self.setting = setting
        self.errors = errors

    @cached_property
    def sums(self) -> GroupSums:
        """Sums of the samples' features, per group of images."""
        return GroupSums(self.samples.features, self.samples.name, self.setting.arithmetic)

    @cached_property
    def real(self) -> Reference:
        """The reference, which a metric needs."""
        if self.reference is None:
            raise UserError("reference: expected real images to compare with, got none")
        return self.reference

    def real_features(self, metric: str) -> Any:
        """The reference's features; refused where only their mean and covariance are known."""
        if self.real.features is None:
            raise UserError(f"metrics: {metric} needs the features of the real images; {self.real.name} has their mean and covariance only")
        return self.real.features

    def distance(self, gaussian: GaussianStatistics) -> float:
        """The Fréchet distance of some of the samples to the reference."""
        return frechet_distance(gaussian, self.real.gaussian, exact=self.setting.exact)

    @cached_property
    def error(self) -> dict[str, Any]:
        """The standard error of the Fréchet distance, and what it is."""
        return jackknife(lambda group: self.distance(self.sums.gaussian({*self.sums.groups} - {group})), self.sums) if self.errors else {}

    def score(self, kind: str, value: float, **options: Any) -> Score:
        """A score with its full name and protocol."""
        protocol = {**self.setting.protocol, **options.pop("protocol", {})}
        options["details"] = {"arithmetic": self.setting.arithmetic, **options.get("details", {})}
        return Score(name=self.setting.name(kind), value=float(value), better=DIRECTIONS[kind], protocol=protocol, **options)


def jackknife(without: Callable[[int], float], sums: GroupSums) -> dict[str, Any]:
    """Delete-one-group jackknife standard error (Efron, 1982), and what it is; nothing for fewer than three groups."""
    if len(sums.groups) < 3 or sums.count - int(sums.counts.max()) < 2:
        return {}
    values = np.array([without(group) for group in sums.groups])
    error = math.sqrt((len(values) - 1) / len(values) * float(((values - values.mean()) ** 2).sum()))
    return {"uncertainty": error, "uncertainty_kind": jackknife_of(sums)}


def jackknife_of(sums: GroupSums) -> str:
    """What such an error is, in words."""
    return f"jackknife over {len(sums.groups)} groups of images"
