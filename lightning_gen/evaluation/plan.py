"""What to evaluate, and what comes of it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal, get_args

from torch import Tensor

from lightning_gen.data.base import SPLITS
from lightning_gen.errors import UserError, did_you_mean
from lightning_gen.evaluation.scores import metric_names
from lightning_gen.leaderboard.record import Better, Score
from lightning_gen.metrics.accumulators import Arithmetic
from lightning_gen.metrics.dialects import dialect
from lightning_gen.models.base import Weights, check_weights

Headline = tuple[str, Better]
"""The score that ranks, and which way it is better."""


@dataclass(frozen=True)
class Scoring:
    """How images are scored, whoever made them.

    Args:
        metrics: of ``fid``, ``is``, ``kid``, ``prdc``, ``fd_infinity``, ``per_class``, ``authpct``,
            ``diversity``; None for those of the data set.
        extractor: the feature network; None for the first of the data set's whose weights are on this machine.
        extractor_weights: a file with its weights, where it can be given one.
        layer: which of its layers, where it has several; None for the usual one.
        dialects: whose conventions; several for the same images under each.
        arithmetic: ``fast`` (folded network, exact sums) or ``reference`` (torch-fidelity's forward, plain float64 sums).
        exact: the Fréchet distance by singular values.
        floor: whether to score held-out real images too.
        debiased: the Fréchet distance extrapolated from N and N/2.
    """

    metrics: tuple[str, ...] | None = None
    extractor: str | None = None
    extractor_weights: str | None = None
    layer: str | None = None
    dialects: tuple[str, ...] = ("tf1",)
    arithmetic: Arithmetic = "fast"
    exact: bool = False
    floor: bool = True
    debiased: bool = False

    def __post_init__(self) -> None:
        for key in ("metrics", "dialects"):
            if isinstance(value := getattr(self, key), str):
                raise UserError(f"{key}: expected a list of names, such as [{value!r}], got {value!r}")
        if self.metrics is not None:
            object.__setattr__(self, "metrics", metric_names(self.metrics))
        object.__setattr__(self, "dialects", tuple(dict.fromkeys(dialect(name).name for name in self.dialects)))
        if not self.dialects:
            raise UserError("dialect: expected at least one, got none")
        if self.arithmetic not in get_args(Arithmetic):
            raise UserError(f"arithmetic: unknown value {self.arithmetic!r}; {did_you_mean(self.arithmetic, get_args(Arithmetic))}")


@dataclass(frozen=True)
class Plan:
    """What to evaluate of a model.

    Args:
        split: ``train``, ``validation`` or ``test``.
        num_samples: N images to draw from the model; 0 for no scores of samples, None for the data set's own N.
        likelihood_samples: k of the likelihood's k-sample bound; 1 for the plain bound (an exact likelihood ignores it).
        likelihood_images: the first so many images of the split, of which likelihoods and reconstructions are scored; None for all.
        seed: keys the noise of samples and likelihoods.
        weights: the averaged networks (``ema``, when there are any) or the ``live`` ones.
        scoring: how samples are scored.
        standing_statistics: batches of 64 samples from which BatchNorm's statistics are computed anew before sampling; 0 to keep them.
        generalization: whether to compare the likelihood of the split with that of as many training images.
        temperature: at which to sample; None for the model's own. It is part of the answer, which the record keeps.
        truncation: likewise, of how many deviations of the prior samples come from.
    """

    split: Literal["train", "validation", "test"] = "test"
    num_samples: int | None = None
    likelihood_samples: int = 1
    likelihood_images: int | None = None
    seed: int = 0
    weights: Weights = "ema"
    scoring: Scoring = field(default_factory=Scoring)
    standing_statistics: int = 0
    generalization: bool = False
    temperature: float | None = None
    truncation: float | None = None

    def __post_init__(self) -> None:
        if self.split not in SPLITS:
            raise UserError(f"split: unknown value {self.split!r}; {did_you_mean(str(self.split), SPLITS)}")
        for key, smallest in (("num_samples", 0), ("likelihood_samples", 1), ("standing_statistics", 0)):
            if (value := getattr(self, key)) is not None and value < smallest:
                raise UserError(f"{key}: expected at least {smallest}, got {value}")
        for key, value in self.sample_options.items():
            if not 0 < value < math.inf:
                raise UserError(f"{key}: expected a positive number, got {value}")
        if self.likelihood_images is not None and self.likelihood_images < 1:
            raise UserError(f"likelihood_images: expected at least 1, or nothing for all, got {self.likelihood_images}")
        check_weights(self.weights)
        if self.generalization and self.split == "train":
            raise UserError("generalization: compares with the training split; expected split validation or test, got train")
        if self.num_samples == 1:
            raise UserError("num_samples: a distance between sets of images needs at least 2, got 1")

    @property
    def sample_options(self) -> dict[str, float]:
        """How to sample otherwise than the model's own way."""
        options = {"temperature": self.temperature, "truncation": self.truncation}
        return {name: value for name, value in options.items() if value is not None}


@dataclass
class Evaluation:
    """Scores of one model, equal on every rank.

    Args:
        headline: the score that ranks models of this data set; it may be absent from ``scores``.
        scores: the scores; empty when the data set has no measure for what the model can do.
        samples_per_second: over all processes; None when nothing was sampled.
        log_probs: log-probability of each image in index order, nats, float64 ``(N,)``; None without likelihood.
    """

    headline: Headline
    scores: list[Score] = field(default_factory=list)
    samples_per_second: float | None = None
    log_probs: Tensor | None = field(default=None, repr=False)

    def value(self, name: str) -> float | None:
        """The value of a score by name."""
        return next((score.value for score in self.scores if score.name == name), None)
