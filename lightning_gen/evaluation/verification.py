"""A result record beside what its checkpoint scores when it is asked the same question again."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from lightning_gen.checkpoint import sha256
from lightning_gen.errors import UserError
from lightning_gen.evaluation.claims import KINDS
from lightning_gen.evaluation.plan import Plan, Scoring
from lightning_gen.evaluation.sampling_options import OPTIONS
from lightning_gen.evaluation.setting import INCEPTION_NAMES
from lightning_gen.leaderboard.record import ResultRecord, Score
from lightning_gen.metrics.extractors import INCEPTION
from lightning_gen.models.base import GenerativeModel
from lightning_gen.registry import class_path

LIKELIHOOD_TOLERANCE = 1e-4
"""As a share of the value: what float32 on another device changes where every image and its noise are the same."""

SAMPLE_TOLERANCE = 1e-3
"""Likewise of a score of samples; where that is more, its standard error counts, since discrete samples may flip on another device."""

ERROR_FACTOR = 2.0
"""How many times an uncertainty may be another; a few flipped samples move the jackknife's more than its score."""

METRICS = {kind: metric for metric, kind in KINDS.values()} | {"AuthPct": "authpct", "diversity": "diversity"}
"""Kind of score -> the metric that gives it."""


@dataclass(frozen=True)
class Check:
    """One claimed score beside the verified one.

    Args:
        name: of the score.
        claimed: as the record says.
        verified: what came out here; None where the question could not be asked again.
        tolerance: how far apart they may be; None likewise.
        problem: why it could not be asked again, or what is claimed of the score beside its value and is not so.
    """

    name: str
    claimed: float
    verified: float | None = None
    tolerance: float | None = None
    problem: str | None = None

    @property
    def holds(self) -> bool:
        """Whether the claim is within tolerance, and all that is said of it so."""
        return self.problem is None and self._is_within

    @property
    def _is_within(self) -> bool:
        if self.verified is None or self.tolerance is None:
            return False
        same = self.verified == self.claimed or (math.isnan(self.verified) and math.isnan(self.claimed))
        # An infinite tolerance, or a score that is infinite itself, would let any claim pass.
        return same or (math.isfinite(self.tolerance) and abs(self.verified - self.claimed) <= self.tolerance)

    def in_words(self) -> str:
        """``FD(digits-cnn): claimed 12.3, verified 13.2, NOT within tolerance (0.94)``."""
        if self.verified is None or self.tolerance is None:
            return f"{self.name}: claimed {self.claimed:.6g}, NOT verified: {self.problem}"
        words = f"{'' if self._is_within else 'NOT '}within tolerance ({self.tolerance:.2g})"
        misstated = "" if self.problem is None else f", NOT so: {self.problem}"
        return f"{self.name}: claimed {self.claimed:.6g}, verified {self.verified:.6g}, {words}{misstated}"


def checkpoint_of(record: ResultRecord, file: Path) -> Path:
    """The checkpoint that a record is about, which has to be the one that was scored.

    Args:
        record: the record.
        file: where it was read from: a run's ``results`` folder, wherever the run lies now; otherwise the record names the run.

    Raises:
        UserError: the file is missing, is another one, or would lie outside the run.
    """
    relative = PurePath(record.checkpoint.path)
    if relative.is_absolute() or ".." in relative.parts:
        raise UserError(f"{file}: checkpoint.path: expected a path within the run, got {record.checkpoint.path!r}")
    runs = [file.resolve().parent.parent] * (file.resolve().parent.name == "results") + [Path(record.run_folder)]
    paths = [run / relative for run in runs]
    path = next((path for path in paths if path.is_file()), None)
    if path is None:
        raise UserError(f"{file}: its checkpoint is missing; expected {' or '.join(str(path) for path in dict.fromkeys(paths))}")
    if (actual := sha256(path)) != record.checkpoint.sha256:
        raise UserError(
            f"{path}: not the checkpoint that was scored; its SHA-256 starts with {actual[:12]}, "
            f"the record's with {record.checkpoint.sha256[:12]}"
        )
    return path


def plan_of(record: ResultRecord, extractor_weights: str | None = None) -> Plan:
    """The plan whose evaluation answers the questions of a record's scores.

    Args:
        record: the record.
        extractor_weights: a file with the extractor's weights, where it needs one.

    Raises:
        UserError: the protocol is none that can be asked: a record may say anything there.
    """
    try:
        return _plan_of(record, extractor_weights)
    except (TypeError, AttributeError, ValueError) as error:
        raise UserError(f"the record's protocol cannot be asked again ({error})") from error


def _plan_of(record: ResultRecord, extractor_weights: str | None) -> Plan:
    protocols = [score.protocol for score in record.scores]
    samples = [score for score in record.scores if "extractor" in score.protocol]
    options = record.answer.sample_options
    return Plan(
        split=protocols[0]["split"],
        num_samples=_first(protocols, "num_samples") or 0,
        likelihood_samples=record.answer.likelihood_samples or 1,
        likelihood_images=_first(protocols, "likelihood_images") or _first(protocols, "reconstruction_images"),
        seed=record.answer.seed,
        weights=record.answer.weights,
        scoring=_scoring(samples, extractor_weights) if samples else Scoring(),
        standing_statistics=_first(protocols, "standing_statistics") or 0,
        generalization=any("against" in protocol for protocol in protocols),
        **{name: options[name] for name in OPTIONS if samples and options.get(name) is not None},
    )


def _scoring(samples: Sequence[Score], extractor_weights: str | None) -> Scoring:
    protocols = [score.protocol for score in samples]
    kinds = [_kind(score.name) for score in samples]
    name = protocols[0]["extractor"]
    return Scoring(
        metrics=tuple(dict.fromkeys(METRICS[kind] for kind in kinds if kind in METRICS)),
        extractor=INCEPTION if name.startswith(INCEPTION) else name,
        extractor_weights=extractor_weights,
        layer=_first(protocols, "layer"),
        dialects=tuple(dict.fromkeys(protocol.get("dialect", "tf1") for protocol in protocols)),
        arithmetic=samples[0].details.get("arithmetic", "fast"),
        exact=any(score.details.get("exact", False) for score in samples),
        floor=False,
    )


def _kind(name: str) -> str:
    """``FD`` of ``FD(digits-cnn)``, of ``FID`` and of ``FID[torchmetrics]``."""
    plain = name.partition("[")[0].partition("(")[0]
    return {own: kind for kind, own in INCEPTION_NAMES.items()}.get(plain, plain)


def _first(protocols: Sequence[dict[str, Any]], key: str) -> Any:
    return next((protocol[key] for protocol in protocols if key in protocol), None)


def check(claimed: Sequence[Score], verified: Sequence[Score]) -> list[Check]:
    """Every claimed score beside the verified one of its name and protocol."""
    found = {score.name: score for score in verified}
    return [_check(score, found.get(score.name)) for score in claimed]


def _check(claimed: Score, verified: Score | None) -> Check:
    if verified is None:
        return Check(claimed.name, claimed.value, problem="this evaluation has no such score")
    if claimed.fingerprint != verified.fingerprint:
        return Check(claimed.name, claimed.value, problem=f"asked otherwise here: {_unlike(claimed.protocol, verified.protocol)}")
    # The error of the verified score: a claim may state any.
    error = verified.uncertainty if "extractor" in verified.protocol or "against" in verified.protocol else None
    share = SAMPLE_TOLERANCE if error is not None else LIKELIHOOD_TOLERANCE
    tolerance = max(share * abs(verified.value), error or 0.0)
    return Check(claimed.name, claimed.value, verified.value, tolerance, _misstated(claimed, verified))


def _misstated(claimed: Score, verified: Score) -> str | None:
    """What a record says of a score beside its value and is not so: by it the leaderboard ranks, shows a bound as exact, and compares."""
    for key in ("better", "kind", "uncertainty_kind"):
        ours, theirs = getattr(verified, key), getattr(claimed, key)
        if ours != theirs:
            return f"{key}: {ours or 'none'} here, not {theirs or 'none'}"
    if not _is_near(claimed.uncertainty, verified.uncertainty):
        ours, theirs = ("none" if error is None else f"{error:.2g}" for error in (verified.uncertainty, claimed.uncertainty))
        return f"uncertainty: {ours} here, not {theirs}"
    return None


def _is_near(claimed: float | None, verified: float | None) -> bool:
    """Whether two uncertainties, whose kinds are the same, agree."""
    if claimed is None or verified is None or claimed == verified:
        return claimed == verified
    return verified / ERROR_FACTOR <= claimed <= verified * ERROR_FACTOR


def _unlike(claimed: dict[str, Any], verified: dict[str, Any]) -> str:
    keys = [key for key in dict.fromkeys([*claimed, *verified]) if claimed.get(key) != verified.get(key)]
    return ", ".join(f"{key} {verified.get(key)} instead of {claimed.get(key)}" for key in keys)


def contradictions(record: ResultRecord, model: GenerativeModel) -> list[str]:
    """What a record says of its model and the checkpoint says otherwise."""
    facts = {
        "model.class_path": (record.model.class_path, class_path(type(model))),
        "model.name": (record.model.name, type(model).__name__),
        "model.family": (record.model.family, model.family),
        "model.hyperparameters": (record.model.hyperparameters, model.hyperparameters),
        "cost.images_seen": (record.cost.images_seen, model.images_seen),
        "cost.warm_start_images": (record.cost.warm_start_images, model.warm_start_images),
        "cost.world_size": (record.cost.world_size, model.training_world_size),
        "cost.parameters": (record.cost.parameters, sum(parameter.numel() for parameter in model.trained_parameters())),
        "training_seed": (record.training_seed, model.training_seed),
    }
    return [f"{name}: claimed {claimed}, the checkpoint says {true}" for name, (claimed, true) in facts.items() if claimed != true]
