"""What a finished run leaves in Weights & Biases: its rows of the leaderboard, and its models."""

from __future__ import annotations

import math
import pathlib
import shutil
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal

from pytorch_lightning.loggers import Logger

from lightning_gen.callbacks.run_folder import CONFIG_FILE
from lightning_gen.checkpoint import export, images_seen, sha256
from lightning_gen.distributed import say
from lightning_gen.leaderboard.record import ResultRecord, Score
from lightning_gen.tracking import WandbTracker

KINDS = ("best", "last")
"""The checkpoints that become artifacts, and their aliases."""

OF_SCORE: dict[str, Callable[[Score], Any]] = {
    "name": lambda score: score.name,
    "value": lambda score: float(score.value),
    "uncertainty": lambda score: score.uncertainty,
    "uncertainty kind": lambda score: score.uncertainty_kind,
    "kind": lambda score: score.kind,
    "better": lambda score: score.better,
    "floor": lambda score: score.floor,
    "data set": lambda score: score.protocol["dataset"],
    "split": lambda score: score.protocol["split"],
    "protocol": lambda score: score.fingerprint,
}
OF_RECORD: dict[str, Callable[[ResultRecord], Any]] = {
    "checkpoint": lambda record: record.checkpoint.kind,
    "images seen": lambda record: record.cost.images_seen,
    "parameters": lambda record: record.cost.parameters,
    "model": lambda record: record.model.name,
    "family": lambda record: record.model.family,
    "run": lambda record: record.run_name,
    "seed": lambda record: record.training_seed,
    "weights": lambda record: record.answer.weights,
    "code": lambda record: record.code_version,
}


def log_leaderboard(loggers: Sequence[Logger], records: Sequence[ResultRecord]) -> None:
    """Log a table ``leaderboard`` with a row for every score of every record; nothing where there is none."""
    rows = [
        [*(of(score) for of in OF_SCORE.values()), *(of(record) for of in OF_RECORD.values())]
        for record in records
        for score in record.scores
    ]
    for tracker in _wandb(loggers):
        if rows:
            tracker.log_rows("leaderboard", [*OF_SCORE, *OF_RECORD], rows, max(record.cost.images_seen for record in records))


def log_models(
    loggers: Sequence[Logger], run: pathlib.Path, records: Sequence[ResultRecord], setting: Literal["auto", "on", "off"]
) -> None:
    """Record the averaged weights of the best and the last checkpoint, with the configuration, as versions of one artifact.

    Args:
        loggers: of the trainer.
        run: the run folder.
        records: of the final evaluation, for what W&B shows beside a version.
        setting: ``auto`` for a run that is online only, ``on``, ``off``.
    """
    wanted = {"auto": ("online",), "on": ("online", "offline"), "off": ()}[setting]
    trackers = [tracker for tracker in _wandb(loggers) if tracker.mode in wanted]
    if setting == "on" and not trackers:
        say("W&B: no models recorded (wandb_artifacts is on, but there is no W&B run)")
    for tracker in trackers:
        for path, kinds in _distinct(run).items():
            digest = sha256(path)
            described = {"checkpoint": path.name, "sha256": digest}
            for record in records:
                if record.checkpoint.sha256 == digest:
                    described |= _describe(record)
            tracker.log_model(f"{kinds[0]}-{digest[:12]}", partial(_write, path, run), kinds, described)


def _wandb(loggers: Sequence[Logger]) -> list[WandbTracker]:
    return [logger for logger in loggers if isinstance(logger, WandbTracker)]


def _distinct(run: pathlib.Path) -> dict[pathlib.Path, list[str]]:
    """The checkpoints with different weights, and what each is; the last one is often the best."""
    found: dict[int, tuple[pathlib.Path, list[str]]] = {}
    for kind in KINDS:
        path = run / "checkpoints" / f"{kind}.ckpt"
        if path.is_file():
            found.setdefault(images_seen(path), (path, []))[1].append(kind)
    return dict(found.values())


def _write(path: pathlib.Path, run: pathlib.Path, folder: pathlib.Path) -> None:
    export(path, folder)
    shutil.copyfile(run / CONFIG_FILE, folder / CONFIG_FILE)


def _describe(record: ResultRecord) -> dict[str, Any]:
    return {
        "model": record.model.class_path,
        "images_seen": record.cost.images_seen,
        "scores": {score.name: score.value if math.isfinite(score.value) else str(score.value) for score in record.scores},
        "protocols": {score.name: score.fingerprint for score in record.scores},
    }
