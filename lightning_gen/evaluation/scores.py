"""From features to scores: every metric of samples against real images, with its uncertainty, its floor, and what it was computed from."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from lightning_gen.distributed import say
from lightning_gen.errors import UserError, did_you_mean
from lightning_gen.evaluation.comparison import Comparison, jackknife, jackknife_of
from lightning_gen.evaluation.extraction import FeatureSet
from lightning_gen.evaluation.references import Reference
from lightning_gen.evaluation.setting import Setting, is_split
from lightning_gen.leaderboard.record import Score
from lightning_gen.metrics.accumulators import GroupSums
from lightning_gen.metrics.classifier_score import ClassifierScore, grouped_classifier_score
from lightning_gen.metrics.extrapolation import fd_infinity, smallest_count
from lightning_gen.metrics.frechet import GaussianStatistics, debiased_distance, frechet_distance
from lightning_gen.metrics.inception_score import InceptionScore
from lightning_gen.metrics.kernel_distance import KernelDistance, mmd_u_statistic
from lightning_gen.metrics.manifold import manifold_scores
from lightning_gen.metrics.neighbours import authenticity

SMALL_FOR_ALL_PAIRS = 5000
"""Up to so many images on each side, KID's estimate from all pairs costs less than its subsets."""


@dataclass(frozen=True)
class Floor:
    """What held-out real images get: no generator can be expected to do better.

    Args:
        values: name of each score -> its value.
        images: how many images they were; a distance of fewer images is larger.
    """

    values: Mapping[str, float]
    images: int


# The metrics: a comparison to one or several scores.


def fid(c: Comparison) -> list[Score]:
    """The Fréchet distance, with the error of its value by a jackknife over groups of images."""
    if c.setting.debiased:
        value = debiased_distance(torch.from_numpy(c.samples.features[:]), c.real.gaussian)
        return [c.score("FD", value, protocol={"debiased": "2 FD(N) - FD(N/2)"}, details=_about_sizes(c))]
    return [c.score("FD", c.distance(c.sums.gaussian()), details=_about_sizes(c), **c.error)]


FEWER_THAN_FEATURES = "the distance is far too large, compare it with its floor"


def _about_sizes(c: Comparison) -> dict[str, Any]:
    """What a reader has to know of the numbers of images."""
    width = c.samples.features.shape[1]
    details: dict[str, Any] = {"features": width, "reference_images": c.real.card.get("count")}
    details |= {"exact": True} if c.setting.exact else {}
    notes = []
    if c.samples.count <= width:
        notes.append(f"{c.samples.count} samples span less than the {width} features: {FEWER_THAN_FEATURES}")
    count = details["reference_images"]
    if count is not None and count <= width:
        notes.append(f"{count} real images span less than the {width} features: {FEWER_THAN_FEATURES}")
    return details | ({"notes": notes} if notes else {})


def inception_score(c: Comparison) -> list[Score]:
    """IS for Inception; for every other classifier the score over all images at once, which has no split luck."""
    if c.samples.logits is None:
        raise UserError(f"metrics: is needs a classifier; extractor {c.setting.extractor!r} gives features only")
    if is_split(c.setting.extractor):
        return [_inception_score_in_splits(c)]
    result = grouped_classifier_score(c.samples.logits, c.setting.arithmetic)
    error = {} if result.stderr is None or not c.errors else {"uncertainty": result.stderr, "uncertainty_kind": jackknife_of(c.sums)}
    return [c.score("CS", result.score, details=_entropies(result), **error)]


def _entropies(result: ClassifierScore | InceptionScore) -> dict[str, Any]:
    """The two entropies whose difference is the log of the score in one split, in nats."""
    return {"entropy_of_y": result.marginal_entropy, "entropy_of_y_given_x": result.conditional_entropy}


def _inception_score_in_splits(c: Comparison) -> Score:
    assert c.samples.logits is not None
    result = c.setting.dialect.inception_score(c.samples.logits)
    details = _entropies(result) | {"std_over_permutations": result.seed_spread}
    spread = {"uncertainty": result.std, "uncertainty_kind": "std over 10 splits"} if c.errors else {}
    return c.score("CS", result.mean, protocol={"splits": 10}, details=details, **spread)


def kid(c: Comparison) -> list[Score]:
    """The kernel distance over random subsets, with the error of the whole estimate in closed form."""
    result = c.setting.dialect.kernel_distance(c.samples.features, c.real_features("kid"))
    protocol = {"subsets": 100, "subset_size": result.subset_size}
    error = {"uncertainty": result.stderr, "uncertainty_kind": "standard error of MMD² in closed form"} if c.errors else {}
    return [c.score("KD", result.mean, protocol=protocol, details=_about_subsets(c, result), **error)]


def _about_subsets(c: Comparison, result: KernelDistance) -> dict[str, float]:
    """The spread over subsets, and for small sets the unbiased estimate from all images, which has no luck of the draw."""
    real = c.real_features("kid")
    details = {"std_over_subsets": result.std}
    if c.errors and max(c.samples.count, len(real)) <= SMALL_FOR_ALL_PAIRS:
        details["of_all_images"] = mmd_u_statistic(c.samples.features, real)[0]
    return details


def prdc(c: Comparison) -> list[Score]:
    """Precision and recall of nearest neighbour balls, density and coverage."""
    result = manifold_scores(c.samples.features, c.real_features("prdc"))
    neighbours = {"precision": 3, "recall": 3, "density": 5, "coverage": 5}
    return [c.score(name, getattr(result, name), protocol={"neighbours": k}) for name, k in neighbours.items()]


def infinity(c: Comparison) -> list[Score]:
    """The Fréchet distance extrapolated to infinitely many samples, from nested parts of the samples."""
    smallest = smallest_count(c.samples.features.shape[1])
    curve = [(count, c.distance(c.sums.gaussian(groups))) for count, groups in _nested_parts(c.sums) if count >= smallest]
    error = c.error.get("uncertainty")
    fit = fd_infinity([count for count, _ in curve], [value for _, value in curve], smallest, error)
    if fit is None:
        raise UserError(
            f"metrics: fd_infinity needs 3 of 10 nested parts of at least {smallest} samples each; expected at least "
            f"{math.ceil(smallest / 0.8)} samples, got {c.samples.count}"
        )
    uncertainty = {} if fit.stderr is None else {"uncertainty": fit.stderr, "uncertainty_kind": "standard error of the fit"}
    return [c.score("FD-infinity", fit.value, details={"curve": [[n, value] for n, value in curve]}, **uncertainty)]


def _nested_parts(sums: GroupSums) -> list[tuple[int, list[int]]]:
    """The first 1, 2, ... groups with the number of their images."""
    parts = [sums.groups[: number + 1] for number in range(len(sums.groups))]
    return [(int(sums.counts[part].sum()), part) for part in parts]


def per_class(c: Comparison) -> list[Score]:
    """The Fréchet distance of the samples of each class to the real images of the class of that name; the value is their mean."""
    ours, theirs = _classes(c.samples), _classes(c.real)
    if ours is None or theirs is None:
        raise UserError(
            "metrics: per_class needs class labels of the samples (a conditional model, a folder per class) and the real images"
        )
    real = c.real_features("per_class")
    values = {name: _distance_within(c, ours[name], real, theirs[name]) for name in ours if name in theirs}
    if not values:
        raise UserError(f"metrics: per_class found no class that both sets have; the samples' begin with {', '.join([*ours][:3])}")
    missing = sorted({*ours, *theirs} - {*values})
    notes = {"notes": [f"not compared, for want of a counterpart: {', '.join(missing)}"]} if missing else {}
    return [c.score("FD per class", float(np.mean([*values.values()])), details={"per_class": values} | notes)]


def _classes(images: FeatureSet | Reference) -> dict[str, np.ndarray] | None:
    """The indices of the images of each class, by its name; None without classes."""
    if images.labels is None or images.labels.ndim != 1:
        return None
    names = images.class_names
    present = sorted({*images.labels.tolist()})
    return {str(label) if names is None else names[label]: np.flatnonzero(images.labels == label) for label in present}


def _distance_within(c: Comparison, ours: np.ndarray, real: Any, theirs: np.ndarray) -> float:
    ours_here, theirs_here = (GroupSums(part, c.samples.name, c.setting.arithmetic) for part in (c.samples.features[ours], real[theirs]))
    return frechet_distance(ours_here.gaussian(), theirs_here.gaussian(), exact=c.setting.exact)


def authpct(c: Comparison) -> list[Score]:
    """The share of samples that are no near copy of a real image, in percent; ask it of the training split."""
    return [c.score("AuthPct", 100 * authenticity(c.samples.features, c.real_features("authpct")))]


COLLAPSED = 0.5
"""Below this diversity the samples are taken for collapsed: of a quarter of the variance of real images, in the space of features."""


def diversity(c: Comparison) -> list[Score]:
    r"""How far apart two samples lie in the space of features, beside two real images.

    .. math:: \sqrt{\mathrm{tr} \Sigma_G / \mathrm{tr} \Sigma}

    The mean squared distance of two feature vectors is twice the trace of their covariance, so all pairs are counted.
    """
    theirs = _pairwise_distance(c.real.gaussian)
    if theirs == 0:
        raise UserError("metrics: diversity needs real images that differ; all have the same features")
    ours = _pairwise_distance(c.sums.gaussian())
    ratio = ours / theirs
    collapsed = ratio < COLLAPSED
    details: dict[str, Any] = {"pairwise_distance": ours, "pairwise_distance_real": theirs, "collapsed": collapsed}
    if collapsed:
        details["notes"] = [f"collapsed: two samples lie {ratio:.2g} times as far apart as two real images (expected {COLLAPSED} or more)"]
    groups = {*c.sums.groups}
    error = jackknife(lambda group: _pairwise_distance(c.sums.gaussian(groups - {group})) / theirs, c.sums) if c.errors else {}
    return [c.score("diversity", ratio, details=details, **error)]


def _pairwise_distance(gaussian: GaussianStatistics) -> float:
    """The root of the mean squared distance of two feature vectors."""
    return math.sqrt(2 * float(gaussian.trace))


METRICS: dict[str, Callable[[Comparison], list[Score]]] = {
    "fid": fid,
    "is": inception_score,
    "kid": kid,
    "prdc": prdc,
    "fd_infinity": infinity,
    "per_class": per_class,
    "authpct": authpct,
    "diversity": diversity,
}
"""Every metric of samples, by the name that ``--metrics`` takes."""

ALIASES = {"fd": "fid", "cs": "is", "kd": "kid"}


def metric_names(names: Sequence[str]) -> tuple[str, ...]:
    """Names as a user writes them, checked, without repetition."""
    chosen = [ALIASES.get(name.strip().lower(), name.strip().lower()) for name in names]
    for name in chosen:
        if name not in METRICS:
            raise UserError(f"metrics: unknown metric {name!r}; {did_you_mean(name, [*METRICS, *ALIASES])}")
    return tuple(dict.fromkeys(chosen))


def scores_of(
    samples: FeatureSet, reference: Reference | None, metrics: Sequence[str], setting: Setting, floor: Floor | None = None
) -> list[Score]:
    """The scores of samples, in the order of the metrics. One that these images cannot have is left out, in one line.

    Args:
        samples: their features.
        reference: the real images.
        metrics: as :func:`metric_names` gives them.
        setting: how.
        floor: scores of held-out real images.

    Raises:
        UserError: none of the metrics can be had.
    """
    scores, failed = _computed(Comparison(samples, reference, setting), metrics)
    if failed and not scores:
        raise next(iter(failed.values()))
    for name, error in failed.items():
        say(f"no {name}: {error}")
    return [with_floor(score, floor) for score in scores]


def _computed(comparison: Comparison, metrics: Sequence[str]) -> tuple[list[Score], dict[str, UserError]]:
    """The scores, and what is wrong where there are none."""
    scores: list[Score] = []
    failed: dict[str, UserError] = {}
    for name in metrics:
        try:
            scores += METRICS[name](comparison)
        except UserError as error:
            failed[name] = error
    return scores, failed


def values_of(samples: FeatureSet, reference: Reference | None, metrics: Sequence[str], setting: Setting) -> dict[str, float]:
    """The values alone, by name: what a floor is made of. A metric that these images cannot have is left out."""
    scores, _ = _computed(Comparison(samples, reference, setting, errors=False), metrics)
    return {score.name: score.value for score in scores}


def with_floor(score: Score, floor: Floor | None) -> Score:
    """The score with the same one of held-out real images beside it."""
    if floor is None or score.name not in floor.values:
        return score
    return dataclasses.replace(score, floor=floor.values[score.name], details={**score.details, "floor_images": floor.images})
