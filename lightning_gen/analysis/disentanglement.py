r"""Whether each code dimension follows one factor of variation: MIG and DCI, as functions of codes ``(N, D)`` and factors ``(N, K)``.

MIG (Chen et al., 2018, arXiv:1802.04942) with the mutual informations from histograms of 20 bins of equal width, as Locatello et al. (2018,
arXiv:1811.12359); the paper integrates over q(z|x), for which one draw of each image's posterior stands here where a model has one.
DCI (Eastwood & Williams, 2018, ICLR) with random forests, whose importances the paper names beside the lasso's.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.ensemble import RandomForestClassifier

from lightning_gen.analysis.representations import choose_images, codes_of, require_encoder
from lightning_gen.data.base import SPLITS, ImageDataModule
from lightning_gen.errors import UserError
from lightning_gen.models.base import GenerativeModel, Weights
from lightning_gen.models.capabilities import SupportsPosterior

BINS = 20
FOREST = {"n_estimators": 20, "max_features": None, "min_samples_leaf": 8, "random_state": 0}
"""All features at every split: a forest that is kept from the right dimension would credit others."""


def disentanglement(model: GenerativeModel, data: ImageDataModule, weights: Weights = "ema") -> dict[str, Any]:
    """MIG over all images of all splits, and DCI with forests that learn from the training split and are judged on the test split.

    Raises:
        UserError: the model has no encoder or is conditional, its codes are not finite, or the factors of the data are not known or do not
            vary.
    """
    require_encoder(model, "disentangle")
    if not hasattr(data, "factors"):
        raise UserError(f"disentangle: the factors of variation of {data.name} are not known; expected data with factors (Factors)")
    require_varied(np.concatenate([data.factors(split) for split in SPLITS]))
    draws = isinstance(model, SupportsPosterior)
    everywhere = {split: choose_images(data, split, None, 0) for split in SPLITS}
    drawn = [codes_of(model, data, split, indices, weights, draws=draws) for split, indices in everywhere.items()]
    gap = mutual_information_gap(np.concatenate(drawn), np.concatenate([data.factors(split) for split in SPLITS]))
    codes = {split: codes_of(model, data, split, everywhere[split], weights) for split in ("train", "test")}
    return gap | dci(codes["train"], data.factors("train"), codes["test"], data.factors("test"))


def require_varied(factors: np.ndarray) -> None:
    """Refuse factors ``(N, K)`` of which one has a single value, about which there is nothing to know."""
    for number, factor in enumerate(factors.T):
        if len(np.unique(factor)) < 2:
            raise UserError(f"disentangle: factor {number} of the data has the value {factor[0]} everywhere; expected factors that vary")


# Mutual information gap.


def mutual_information_gap(codes: np.ndarray, factors: np.ndarray) -> dict[str, Any]:
    r"""MIG: how much more the best dimension knows of a factor than the second best, as a share of the factor's entropy.

    .. math:: \frac1K \sum_k \frac{I(z_{j^{(k)}}; v_k) - \max_{j \ne j^{(k)}} I(z_j; v_k)}{H(v_k)}

    Args:
        codes: ``(N, D)`` with D of at least 2.
        factors: integers ``(N, K)``.

    Returns:
        ``mig``, its terms ``mig_by_factor``, and the ``mutual_information`` ``(D, K)`` in nats.
    """
    if codes.shape[1] < 2:
        raise UserError(f"disentangle: a gap needs a second best dimension; expected at least 2 latent dimensions, got {codes.shape[1]}")
    binned = discretize(codes)
    information = np.array([[mutual_information(z, v) for v in factors.T] for z in binned.T])
    best = np.sort(information, axis=0)[::-1]
    gaps = (best[0] - best[1]) / np.array([mutual_information(v, v) for v in factors.T])
    return {"mig": float(gaps.mean()), "mig_by_factor": gaps.tolist(), "mutual_information": information.tolist()}


def discretize(codes: np.ndarray) -> np.ndarray:
    """The bin of each code among 20 of equal width between its dimension's extremes, int64 ``(N, D)``."""
    low, high = codes.min(0), codes.max(0)
    width = np.where(high > low, high - low, 1)
    return np.minimum((codes - low) / width * BINS, BINS - 1).astype(np.int64)


def mutual_information(a: np.ndarray, b: np.ndarray) -> float:
    """Mutual information of two arrays of integers, by their counts, in nats; of an array with itself it is the entropy."""
    (_, a), (_, b) = np.unique(a, return_inverse=True), np.unique(b, return_inverse=True)
    joint = np.zeros((a.max() + 1, b.max() + 1))
    np.add.at(joint, (a, b), 1 / len(a))
    independent = joint.sum(1, keepdims=True) * joint.sum(0, keepdims=True)
    seen = joint > 0
    return float((joint[seen] * np.log(joint[seen] / independent[seen])).sum())


# Disentanglement, completeness, informativeness.


def dci(train_codes: np.ndarray, train_factors: np.ndarray, test_codes: np.ndarray, test_factors: np.ndarray) -> dict[str, Any]:
    """DCI: informativeness is the mean accuracy on the test codes."""
    forests = [RandomForestClassifier(**FOREST).fit(train_codes, factor) for factor in train_factors.T]
    accuracy = [float(forest.score(test_codes, factor)) for forest, factor in zip(forests, test_factors.T, strict=True)]
    importance = np.stack([forest.feature_importances_ for forest in forests], axis=1)
    scores = {"disentanglement": disentanglement_of(importance), "completeness": completeness_of(importance)}
    return {**scores, "informativeness": float(np.mean(accuracy)), "accuracy_by_factor": accuracy, "importance": importance.tolist()}


def disentanglement_of(importance: np.ndarray) -> float:
    r"""One minus the entropy of each dimension's importances over factors, in units of log K, weighted by the dimension's importance.

    .. math:: \sum_j \rho_j (1 - H_K(P_j)), \qquad P_{jk} = \frac{R_{jk}}{\sum_{k'} R_{jk'}}, \qquad
        \rho_j = \frac{\sum_k R_{jk}}{\sum_{j'k} R_{j'k}}

    Args:
        importance: R, not negative, ``(D, K)``; of codes that are all alike it is zero, and so is the score.
    """
    total = float(importance.sum())
    return float((concentration(importance) * importance.sum(1)).sum() / total) if total else 0.0


def completeness_of(importance: np.ndarray) -> float:
    """One minus the entropy of each factor's importances over dimensions, in units of log D, averaged over factors; of ``(D, K)``."""
    return float(concentration(importance.T).mean())


def concentration(rows: np.ndarray) -> np.ndarray:
    """One minus the entropy of each normalised row in units of its largest value: 1 for a single entry, 0 for equal ones; ``(N,)``."""
    total = rows.sum(1, keepdims=True)
    shares = np.divide(rows, total, out=np.full_like(rows, 1 / rows.shape[1]), where=total > 0)
    logs = np.log(shares, out=np.zeros_like(shares), where=shares > 0)
    return 1 + (shares * logs).sum(1) / np.log(rows.shape[1])
