"""Whether one result is better than another, or chance could have made the difference.

Likelihoods of the same images are compared image by image, by a bootstrap; recipes by their training seeds; other scores by the standard
errors that their records state. NumPy and SciPy are imported where a comparison needs them.
"""

from __future__ import annotations

import math
import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

from lightning_gen.errors import UserError
from lightning_gen.leaderboard.record import Score
from lightning_gen.leaderboard.seeds import mean_and_deviation

if TYPE_CHECKING:
    import numpy as np

LEVEL = 0.99
"""Of every interval. A comparison looks at about five scores at once: at 99 % each, equal models are told apart in fewer than 5 % of
comparisons in any of them."""

RESAMPLES = 5000
"""Of the bootstrap: 25 of them lie beyond each end of the interval."""

BRACKETS = f"In brackets the {LEVEL:.0%} interval of the difference A - B."
"""What stands below verdicts in words."""


@dataclass(frozen=True)
class Verdict:
    """Which of A and B is better in one score.

    Args:
        score: its name.
        better: None when it cannot be told.
        a: A's value; the mean over seeds where these are compared.
        b: likewise.
        interval: of A minus B, at :data:`LEVEL`; None where nothing says how far the values are off.
        method: where the interval comes from; without one, what is missing.
    """

    score: str
    better: Literal["A", "B"] | None
    a: float
    b: float
    interval: tuple[float, float] | None
    method: str

    def in_words(self) -> str:
        """``bits/dim: A is better, 1.896 against 1.916: -0.0200 [-0.0251, -0.0148] (paired bootstrap over 400 images)``."""
        values = f"{self.score}: {self.answer}, {self.a:.4g} against {self.b:.4g}"
        return f"{values}: {self.difference} ({self.method})" if self.difference else f"{values} ({self.method})"

    @property
    def answer(self) -> str:
        """``A is better``, ``B is better`` or ``cannot tell``."""
        return "cannot tell" if self.better is None else f"{self.better} is better"

    @property
    def difference(self) -> str:
        """``-0.0200 [-0.0251, -0.0148]``; empty where nothing says how far the values are off."""
        if self.interval is None:
            return ""
        low, high = self.interval
        return f"{self.a - self.b:+.3g} [{low:+.3g}, {high:+.3g}]"


class Resampled(NamedTuple):
    """A likelihood under the bootstrap.

    Args:
        images: how many it is the mean of.
        unit: what a mean loss in nats is multiplied by to give the score.
        mean: loss of the images, in the unit of the score.
        means: likewise of :data:`RESAMPLES` draws of as many images.
    """

    images: int
    unit: float
    mean: float
    means: np.ndarray


class Error(NamedTuple):
    """A standard error with its degrees of freedom (infinite where it is as good as known)."""

    value: float
    freedom: float


def compare(a: Score, b: Score, log_probs_a: Sequence[float] | None = None, log_probs_b: Sequence[float] | None = None) -> Verdict:
    """Two scores of one name and protocol.

    Args:
        a, b: the scores.
        log_probs_a, log_probs_b: of each image, nats, where the scores are likelihoods and their values were kept.

    Raises:
        UserError: the scores answer different questions.
    """
    if (a.name, a.fingerprint) != (b.name, b.fingerprint):
        raise UserError(f"{a.name}: not the same question ({', '.join(_unlike(a.protocol, b.protocol)) or b.name})")
    if log_probs_a is not None and log_probs_b is not None and len(log_probs_a) == len(log_probs_b) > 1:
        return compare_resampled(a, b, *resample([a, b], [log_probs_a, log_probs_b]))
    return compare_resampled(a, b)


def compare_resampled(a: Score, b: Score, resampled_a: Resampled | None = None, resampled_b: Resampled | None = None) -> Verdict:
    """As :func:`compare`, of scores that are known to answer one question.

    Args:
        a, b: the scores.
        resampled_a, resampled_b: their bootstraps, from one call of :func:`resample`, where they are likelihoods of as many images.
    """
    if resampled_a is not None and resampled_b is not None and resampled_a.images == resampled_b.images > 1:
        return _verdict(a, a.value, b.value, _paired(resampled_a, resampled_b), f"paired bootstrap over {resampled_a.images} images")
    errors = _standard_error(a), _standard_error(b)
    if errors[0] is None or errors[1] is None:
        return _verdict(a, a.value, b.value, None, "no uncertainty was recorded")
    kinds = " and ".join(dict.fromkeys(str(score.uncertainty_kind) for score in (a, b)))
    return _verdict(a, a.value, b.value, _welch(a.value - b.value, errors[0], errors[1]), kinds)


def compare_seeds(a: Sequence[Score], b: Sequence[Score]) -> Verdict:
    """Two recipes, by scores of runs that differ in their training seed only; at least two of each.

    Raises:
        UserError: the scores answer different questions, or there is one alone.
    """
    if len({(score.name, score.fingerprint) for score in (*a, *b)}) > 1:
        raise UserError(f"{a[0].name}: the seeds were not asked the same question")
    if min(len(a), len(b)) < 2:
        raise UserError(f"{a[0].name}: expected at least 2 seeds of each, got {len(a)} and {len(b)}")
    (mean_a, deviation_a), (mean_b, deviation_b) = (mean_and_deviation([score.value for score in scores]) for scores in (a, b))
    error_a, error_b = (Error(each / math.sqrt(len(of)), len(of) - 1) for each, of in ((deviation_a, a), (deviation_b, b)))
    return _verdict(a[0], mean_a, mean_b, _welch(mean_a - mean_b, error_a, error_b), f"{len(a)} and {len(b)} training seeds")


def _verdict(score: Score, a: float, b: float, interval: tuple[float, float] | None, method: str) -> Verdict:
    better: Literal["A", "B"] | None = None
    if interval is not None and (interval[1] < 0 or interval[0] > 0):
        better = "A" if (interval[1] < 0) == (score.better == "lower") else "B"
    return Verdict(score.name, better, a, b, interval, method)


def _unlike(a: Mapping[str, object], b: Mapping[str, object]) -> list[str]:
    return [f"{key} {a.get(key)} and {b.get(key)}" for key in dict.fromkeys([*a, *b]) if a.get(key) != b.get(key)]


def _standard_error(score: Score) -> Error | None:
    """What a record states, where that is a finite number. A spread over parts is more than the error of their mean: then less is told."""
    if score.uncertainty is None or not (math.isfinite(score.uncertainty) and math.isfinite(score.value)):
        return None
    groups = re.match(r"jackknife over (\d+) groups", score.uncertainty_kind or "")
    return Error(abs(score.uncertainty), max(int(groups[1]) - 1, 1) if groups else math.inf)


def _welch(difference: float, a: Error, b: Error) -> tuple[float, float] | None:
    """The interval of a difference of two independent numbers (Welch, 1947), with the degrees of freedom of Satterthwaite (1946)."""
    error = math.hypot(a.value, b.value)
    if not (math.isfinite(error) and math.isfinite(difference)):
        return None
    if error == 0:
        return difference, difference
    # Shares of the error, since the fourth power of a forged one is more than a float holds.
    inverse = (a.value / error) ** 4 / a.freedom + (b.value / error) ** 4 / b.freedom
    margin = _quantile(1 / inverse if inverse else math.inf) * error
    return difference - margin, difference + margin


def _quantile(freedom: float) -> float:
    """Of Student's distribution, or of the normal one, for :data:`LEVEL`."""
    if math.isinf(freedom):
        return statistics.NormalDist().inv_cdf((1 + LEVEL) / 2)
    from scipy.special import stdtrit

    return float(stdtrit(freedom, (1 + LEVEL) / 2))


def _paired(a: Resampled, b: Resampled) -> tuple[float, float] | None:
    """The interval of the mean difference over images, in the unit of the scores; None where one is not a finite number."""
    import numpy as np

    mean, differences = a.mean - b.mean, a.means - b.means
    if not (math.isfinite(mean) and np.isfinite(differences).all()):
        return None
    low, high = np.quantile(differences, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    # The bootstrap of a few images is too narrow: by their standard deviation's n for n - 1, and by the normal quantile for Student's.
    wider = math.sqrt(a.images / (a.images - 1)) * _quantile(a.images - 1) / _quantile(math.inf)
    return mean + wider * (float(low) - mean), mean + wider * (float(high) - mean)


def resample(scores: Sequence[Score], log_probs: Sequence[Sequence[float]]) -> list[Resampled]:
    """The bootstraps of likelihoods of as many images each, in which an image is drawn as often for one as for another.

    Their differences are those of a paired bootstrap, and each is drawn once, however many it is compared with.

    Args:
        scores: the likelihoods.
        log_probs: of each image, nats, behind every score.
    """
    import numpy as np

    units = [unit_of(score, values) for score, values in zip(scores, log_probs, strict=True)]
    with np.errstate(invalid="ignore", over="ignore"):
        losses = [-unit * np.asarray(values, dtype=np.float64) for unit, values in zip(units, log_probs, strict=True)]
        # Equal losses are one column: a product of matrices may round two equal ones differently, and they are to be equal.
        places: dict[bytes, int] = {}
        columns = [places.setdefault(values.tobytes(), len(places)) for values in losses]
        means = bootstrap_means(np.stack([np.frombuffer(content) for content in places], axis=1))
        return [
            Resampled(len(values), unit, float(values.mean()), means[:, column])
            for values, unit, column in zip(losses, units, columns, strict=True)
        ]


def unit_of(score: Score, log_probs: Sequence[float]) -> float:
    """What a mean loss in nats is multiplied by to give the score: a constant of the data set, or the values are not the score's."""
    loss = -float(sum(log_probs)) / len(log_probs)
    return score.value / loss if loss else 1.0


def bootstrap_means(values: np.ndarray, seed: int = 0) -> np.ndarray:
    """Means of :data:`RESAMPLES` samples with replacement, each of as many images; the same for the same seed.

    Args:
        values: of each image ``(N,)``, or of each image in several columns ``(N, K)``, which are drawn together.
        seed: of the draws.
    """
    import numpy as np

    generator = np.random.default_rng(seed)
    block = max(1, 2**21 // len(values))
    means = []
    for start in range(0, RESAMPLES, block):
        drawn = generator.integers(len(values), size=(min(block, RESAMPLES - start), len(values)))
        drawn += np.arange(len(drawn))[:, None] * len(values)
        counts = np.bincount(drawn.ravel(), minlength=drawn.size).reshape(drawn.shape).astype(np.float64)
        means.append(counts @ values / len(values))
    return np.concatenate(means)
