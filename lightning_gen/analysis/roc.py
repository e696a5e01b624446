r"""The area under the ROC curve by ranks, and its standard error (DeLong, DeLong & Clarke-Pearson, 1988, Biometrics 44).

The area is the probability that an anomalous image scores higher than a normal one; ties count one half.
"""

from __future__ import annotations

import math

import numpy as np


def auroc(normal: np.ndarray, anomalous: np.ndarray) -> float:
    """P(anomalous > normal) + P(equal) / 2, of scores ``(N,)`` and ``(M,)``."""
    return float(placements(normal, anomalous)[1].mean())


def placements(normal: np.ndarray, anomalous: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The share of anomalous scores above each normal one, and of normal scores below each anomalous one; ties count one half."""
    return 1 - _share_below(normal, anomalous), _share_below(anomalous, normal)


def _share_below(values: np.ndarray, others: np.ndarray) -> np.ndarray:
    others = np.sort(others)
    below, up_to = np.searchsorted(others, values, "left"), np.searchsorted(others, values, "right")
    return (below + up_to) / (2 * len(others))


def standard_error(normal: np.ndarray, anomalous: np.ndarray) -> float:
    """DeLong's standard error of :func:`auroc`; for at least two scores of each kind."""
    return _error(*placements(normal, anomalous))


def difference_error(first: tuple[np.ndarray, np.ndarray], second: tuple[np.ndarray, np.ndarray]) -> float:
    """DeLong's standard error of the difference of two areas that two scores, each (normal, anomalous), have on the same images."""
    (a, b), (c, d) = placements(*first), placements(*second)
    return _error(a - c, b - d)


def _error(over_normal: np.ndarray, over_anomalous: np.ndarray) -> float:
    return math.sqrt(over_normal.var(ddof=1) / len(over_normal) + over_anomalous.var(ddof=1) / len(over_anomalous))
