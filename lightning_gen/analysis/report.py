"""The record of an analysis: one JSON file beside the result records of its run, which the leaderboard does not read."""

from __future__ import annotations

import hashlib
import json
import pathlib
from typing import Any

from lightning_gen import __version__
from lightning_gen.files import complete
from lightning_gen.leaderboard.record import utc_now
from lightning_gen.leaderboard.schema import to_json
from lightning_gen.models.base import GenerativeModel, Weights
from lightning_gen.registry import class_path
from lightning_gen.reporting import describe_checkpoint, run_of

SCHEMA = 1


def make_report(
    kind: str, checkpoint: pathlib.Path, model: GenerativeModel, weights: Weights, protocol: dict[str, Any], results: dict[str, Any]
) -> dict[str, Any]:
    """What was found, of which weights, and by which protocol, as plain data.

    Args:
        kind: name of the analysis.
        checkpoint: the file that was analysed.
        model: what was in it.
        weights: which weights were asked for.
        protocol: what defines the question: data set, split, numbers of images, seeds, methods.
        results: the answer.
    """
    return {
        "schema": SCHEMA,
        "kind": kind,
        "created": utc_now(),
        "code_version": __version__,
        "model": class_path(type(model)),
        "checkpoint": to_json(describe_checkpoint(checkpoint)),
        "weights": weights if model.ema is not None else "live",
        "images_seen": model.images_seen,
        "protocol": to_json(protocol),
        "results": to_json(results),
    }


def question_hash(report: dict[str, Any]) -> str:
    """Eight digits that tell reports of another protocol, or of other weights, from this one."""
    question = json.dumps([report["protocol"], report["weights"]], sort_keys=True)
    return hashlib.sha256(question.encode()).hexdigest()[:8]


def write_report(report: dict[str, Any], checkpoint: pathlib.Path, name: str) -> pathlib.Path:
    """Write ``results/NAME-HASH-STEM.json`` of the checkpoint's run, with the :func:`question_hash`, complete or not at all; an earlier
    report of the same question is replaced.

    Raises:
        UserError: the folder cannot be written to, or the disk is full.
    """
    path = run_of(checkpoint) / "results" / f"{name}-{question_hash(report)}-{checkpoint.stem}.json"
    with complete(path) as partial:
        partial.write_text(json.dumps(report, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    return path
