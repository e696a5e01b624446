"""The result record: one JSON file per evaluation, written atomically and never edited."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from lightning_gen.errors import UserError
from lightning_gen.leaderboard.schema import canonical, decode, parse, to_json

SCHEMA = 1
SUFFIX = ".result.json"
LARGEST = 16 * 2**20
"""Bytes of a file that may be a record; a usual one has a few thousand."""

Better = Literal["lower", "higher"]


@dataclass(frozen=True, kw_only=True)
class Score:
    """One number, the question that it answers and how far it can be trusted.

    Args:
        name: ``FD(digits-cnn)``, ``CS(digits-cnn)``, ``bits/dim``, ``nats``.
        value: the score; NaN and infinities are kept.
        better: whether ``lower`` or ``higher`` is better.
        protocol: what defines the question, as plain data. ``dataset`` and ``split`` are required; usual others are ``count``,
            ``preprocessing``, ``bits``, ``binarization``, ``num_samples``, ``extractor``, ``weights``, ``reference``.
        uncertainty: what stands after ±, in the unit of the score.
        uncertainty_kind: what the uncertainty is, such as ``standard error over images``.
        floor: the same score between held-out real images.
        kind: for likelihoods, what the number is.
        details: what belongs beside the number and never ranks it: the two entropies of IS, the curve over N, scores per class, notes.
    """

    name: str
    value: float
    better: Better
    protocol: dict[str, Any]
    uncertainty: float | None = None
    uncertainty_kind: str | None = None
    floor: float | None = None
    kind: Literal["exact", "lower bound", "k-sample bound"] | None = None
    details: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for key in ("dataset", "split"):
            if not isinstance(self.protocol.get(key), str):
                raise UserError(f"score {self.name!r}: protocol.{key}: expected a string, got {self.protocol.get(key)!r}")

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the protocol: scores with different fingerprints are never ranked against each other."""
        return hashlib.sha256(canonical(self.protocol).encode()).hexdigest()[:12]


@dataclass(frozen=True, kw_only=True)
class Model:
    """Which model was scored; ``name`` is the short name of ``class_path``."""

    class_path: str
    name: str
    family: str
    hyperparameters: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """Which weights were scored; ``path`` is relative to the run folder."""

    path: str
    sha256: str
    kind: Literal["best", "last", "other", "untrained"]


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What the checkpoint took to train (``device_hours`` summed over devices), and how fast the model samples.

    Args:
        images_seen: real images that this run gave to the model.
        parameters: number of trained parameters.
        world_size: number of processes that trained it.
        warm_start_images: real images that the run it was started from had seen.
    """

    images_seen: int
    parameters: int
    world_size: int
    device_hours: float | None = None
    samples_per_second: float | None = None
    warm_start_images: int = 0


@dataclass(frozen=True, kw_only=True)
class Answer:
    """How the model answered: shown in its row, never a reason to rank it apart.

    Args:
        weights: averaged (``ema``) or ``live``.
        seed: seed of the evaluation's noise.
        precision: such as ``32-true``.
        augmentation: what was applied to the training images; None for nothing.
        likelihood_samples: k of a k-sample bound; what a likelihood is stands in :attr:`Score.kind`.
        sample_options: options of ``sample`` that were set.
    """

    weights: Literal["ema", "live"]
    seed: int
    precision: str
    augmentation: str | None = None
    likelihood_samples: int | None = None
    sample_options: dict[str, Any] = field(default_factory=dict)


def utc_now() -> str:
    """The present time in UTC, ISO 8601, to the microsecond."""
    return datetime.now(UTC).isoformat()


@dataclass(frozen=True, kw_only=True)
class ResultRecord:
    """Everything that is known about one evaluation of one checkpoint.

    Args:
        headline: name of the score by which the data set ranks; it may be absent from ``scores``.
        machine: number and kind of devices in words, such as ``1x NVIDIA H200``.
        created: UTC, ISO 8601.
    """

    model: Model
    config_name: str
    config_hash: str
    checkpoint: Checkpoint
    code_version: str
    scores: list[Score]
    headline: str
    cost: Cost
    answer: Answer
    training_seed: int
    run_name: str
    run_folder: str
    machine: str
    wandb_id: str | None = None
    wandb_url: str | None = None
    created: str = field(default_factory=utc_now)
    schema: int = SCHEMA

    def __post_init__(self) -> None:
        if not self.scores:
            raise UserError("scores: expected at least one, got none")
        names = [score.name for score in self.scores]
        for name in names:
            if names.count(name) > 1:
                raise UserError(f"scores: {name!r} occurs {names.count(name)} times, expected once")
        with contextlib.suppress(ValueError):
            if datetime.fromisoformat(self.created).utcoffset() is not None:
                return
        raise UserError(f"created: expected an ISO 8601 time with its time zone, got {self.created!r}")

    @property
    def time(self) -> datetime:
        """``created`` as a time that can be compared."""
        return datetime.fromisoformat(self.created)


def from_text(text: str) -> ResultRecord:
    """The record in the text of a file; raises UserError that says what is wrong with it."""
    try:
        data = parse(text)
        schema = data.get("schema") if isinstance(data, dict) else None
        if schema is None:
            raise UserError("not a result record: it has no schema")
        if schema != SCHEMA:
            raise UserError(f"schema: this version of lightning-gen reads {SCHEMA}, got {schema!r}")
        return decode(ResultRecord, data, "")
    except (ValueError, RecursionError, OverflowError) as error:
        raise UserError(f"not valid JSON ({error})") from error


def read(path: str | os.PathLike[str]) -> ResultRecord:
    """The record in a file; raises UserError that names the file and what is wrong with it."""
    try:
        with open(path, "rb") as file:
            content = file.read(LARGEST + 1)
        if len(content) > LARGEST:
            raise UserError(f"larger than {LARGEST // 2**20} MiB, which no result record is")
        return from_text(content.decode("utf-8"))
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 text") from error
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def write(record: ResultRecord, folder: str | os.PathLike[str]) -> Path:
    """Write ``record`` to a new file in ``folder`` and return its path.

    The file appears complete or not at all, whatever else writes to the folder; a full disk or a read-only folder raises UserError.
    """
    text = json.dumps(to_json(record), indent=2, allow_nan=False) + "\n"
    from_text(text)  # what cannot be read back is not written
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path = _unused_path(record, folder)
        _write_atomically(text, path)
    except OSError as error:
        raise UserError(f"{folder}: cannot write the result ({error.strerror or error})") from error
    return path


def _unused_path(record: ResultRecord, folder: Path) -> Path:
    stamp = record.time.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    while True:
        path = folder / f"{stamp}-{record.checkpoint.kind}-{uuid.uuid4().hex[:16]}{SUFFIX}"
        if not path.exists():
            return path


def _write_atomically(text: str, path: Path) -> None:
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with temporary.open("x", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
