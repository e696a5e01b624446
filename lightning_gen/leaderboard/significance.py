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
        answer = "cannot tell" if self.better is None else f"{self.better} is better"
        values = f"{self.score}: {answer}, {self.a:.4g} against {self.b:.4g}"
        if self.interval is None:
            return f"{values} ({self.method})"
        low, high = self.interval
        return f"{values}: {self.a - self.b:+.3g} [{low:+.3g}, {high:+.3g}] ({self.method})"


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
        interval = _paired(a, b, log_probs_a, log_probs_b)
        return _verdict(a, a.value, b.value, interval, f"paired bootstrap over {len(log_probs_a)} images")
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


def _paired(a: Score, b: Score, log_probs_a: Sequence[float], log_probs_b: Sequence[float]) -> tuple[float, float] | None:
    """The interval of the mean difference over images, in the unit of the scores."""
    import numpy as np

    if not np.isfinite([*log_probs_a, *log_probs_b, a.value, b.value]).all():
        return None
    losses = unit_of(b, log_probs_b) * np.asarray(log_probs_b) - unit_of(a, log_probs_a) * np.asarray(log_probs_a)
    low, high = np.quantile(bootstrap_means(losses), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    # The bootstrap of a few images is too narrow: by their standard deviation's n for n - 1, and by the normal quantile for Student's.
    count, mean = len(losses), float(losses.mean())
    wider = math.sqrt(count / (count - 1)) * _quantile(count - 1) / _quantile(math.inf)
    return mean + wider * (float(low) - mean), mean + wider * (float(high) - mean)


def unit_of(score: Score, log_probs: Sequence[float]) -> float:
    """What a mean loss in nats is multiplied by to give the score: a constant of the data set, or the values are not the score's."""
    loss = -sum(log_probs) / len(log_probs)
    return score.value / loss if loss else 1.0


def bootstrap_means(values: np.ndarray, seed: int = 0) -> np.ndarray:
    """Means of :data:`RESAMPLES` samples with replacement, each of as many images; the same for the same seed."""
    import numpy as np

    generator = np.random.default_rng(seed)
    block = max(1, 2**22 // len(values))
    counts = [min(block, RESAMPLES - start) for start in range(0, RESAMPLES, block)]
    return np.concatenate([values[generator.integers(len(values), size=(count, len(values)))].mean(axis=1) for count in counts])
