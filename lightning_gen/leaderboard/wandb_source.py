"""Final scores of a W&B project's runs, from their summaries; wandb is imported when a project is asked for.

A summary holds the scores but not their whole protocol: what a run's configuration says of the question stands in for it, marked as such,
so that these rows are ranked among themselves and never with those of result files.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Literal

from lightning_gen.errors import UserError
from lightning_gen.leaderboard.record import Answer, Better, Checkpoint, Cost, Model, ResultRecord, Score
from lightning_gen.leaderboard.store import Skipped
from lightning_gen.models import MODELS

Kind = Literal["exact", "lower bound", "k-sample bound"]

KEY = re.compile(r"(?P<split>train|validation|test)/(?P<kind>best|last|untrained)/(?P<name>.+)")
"""How a run logs its final scores: ``test/best/FD(digits-cnn)``."""

FAMILIES = {"autoencoders": "autoencoder", "flows": "flow", "autoregressive": "autoregressive", "gans": "gan"}
"""Folder of a model -> its family."""

HIGHER = ("CS(", "IS", "precision(", "recall(", "density(", "coverage(", "AuthPct(", "diversity(")
"""Scores of which more is better, by how their names start."""

NOT_ASKED = ("root", "batch_size", "horizontal_flip", "seed")
"""Arguments of a data set that say how a model was trained, not what its scores answer."""


def load_wandb(project: str, known: Collection[str] = ()) -> tuple[list[ResultRecord], Skipped]:
    """A record for each scored checkpoint of each run, and what was skipped with its reason.

    Args:
        project: ``entity/project``.
        known: ids of runs whose result files are there already, with their whole protocol; they are left out without a word.

    Raises:
        UserError: no such project, nobody is logged in, no network, no wandb.
    """
    if not re.fullmatch(r"[^/\s]+/[^/\s]+", project):
        raise UserError(f"--wandb: expected entity/project, got {project!r}")
    records: list[ResultRecord] = []
    skipped: Skipped = []
    for run in _runs(project):
        if run.id in known:
            continue
        try:
            found = records_of(run)
        except (UserError, KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            # Anybody may log anything under any name.
            skipped.append((f"{project}/{run.id}", f"not a run of lightning-gen ({type(error).__name__}: {error})"))
            continue
        records += found
        if not found:
            skipped.append((f"{project}/{run.id}", f"no final scores in its summary (state {run.state})"))
    return records, skipped


def _runs(project: str) -> list[Any]:
    try:
        import wandb

        return [*wandb.Api().runs(project, lazy=False)]
    except Exception as error:  # nobody logged in, no network, no project, no wandb: each has its own class
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"--wandb {project}: cannot be read ({reason})") from error


def records_of(run: Any) -> list[ResultRecord]:
    """The records of one run of W&B's API, by split and checkpoint; none where it has no final scores."""
    groups: dict[tuple[str, str], dict[str, float]] = {}
    for key, value in sorted(run.summary_metrics.items()):
        if (match := KEY.fullmatch(key)) and (number := _number(value)) is not None:
            groups.setdefault((match["split"], match["kind"]), {})[match["name"]] = number
    return [_record(run, split, kind, values) for (split, kind), values in groups.items()]


def _number(value: Any) -> float | None:
    """A summary's number; W&B writes what is not finite as text, and may keep a minimum or the last value in a mapping."""
    if isinstance(value, Mapping) and len(value) == 1:
        (value,) = value.values()
    if value in ("NaN", "Infinity", "-Infinity"):
        return float(value)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _record(run: Any, split: str, kind: Any, values: Mapping[str, float]) -> ResultRecord:
    config, model = run.config, run.config["model"]
    name = model["class_path"].rpartition(".")[2]
    family = FAMILIES.get(MODELS.get(name, "").partition(".")[0], "unknown")
    final = config.get("final") or {}
    protocol = {"dataset": config["data"]["class_path"].rpartition(".")[2].lower(), "split": split, **_question(config, final)}
    scores = [_score(score, value, protocol, family, final) for score, value in values.items()]
    return ResultRecord(
        model=Model(class_path=model["class_path"], name=name, family=family, hyperparameters=dict(model.get("init_args") or {})),
        config_name=str(run.group or name),
        config_hash="",
        checkpoint=Checkpoint(path="", sha256=f"wandb:{run.id}", kind=kind),
        code_version="",
        scores=scores,
        headline=next((score.name for score in scores if score.name.startswith(("FID", "FD("))), scores[0].name),
        cost=Cost(images_seen=_images_seen(run.summary_metrics, kind), parameters=0, world_size=1),
        answer=_answer(config, final),
        training_seed=int(config.get("seed_everything") or 0),
        run_name=str(run.name or run.id),
        run_folder=run.url,
        machine="",
        wandb_id=run.id,
        wandb_url=run.url,
        created=_time(run.created_at),
    )


def _question(config: Mapping[str, Any], final: Mapping[str, Any]) -> dict[str, Any]:
    """What of the protocol the configuration tells, and who says so."""
    data = {key: value for key, value in (config["data"].get("init_args") or {}).items() if key not in NOT_ASKED}
    asked = {key: final.get(key) for key in ("num_samples", "likelihood_images", "standing_statistics")}
    return {"data": data, **asked, "stated_by": "a W&B summary, without the whole protocol"}


def _score(name: str, value: float, protocol: dict[str, Any], family: str, final: Mapping[str, Any]) -> Score:
    better: Better = "higher" if name.startswith(HIGHER) else "lower"
    kind = _likelihood_kind(family, final) if name in ("nats", "bits/dim") else None
    return Score(name=name, value=value, better=better, protocol=protocol, kind=kind)


def _likelihood_kind(family: str, final: Mapping[str, Any]) -> Kind:
    """What a model's likelihood is; of an unknown family no more is claimed than a bound."""
    if family == "autoregressive":
        return "exact"
    return "k-sample bound" if (final.get("likelihood_samples") or 1) > 1 else "lower bound"


def _answer(config: Mapping[str, Any], final: Mapping[str, Any]) -> Answer:
    averaged = (config.get("ema") or {}).get("half_life_images")
    return Answer(
        weights="ema" if averaged else "live",
        seed=int(final.get("seed") or 0),
        precision=str((config.get("trainer") or {}).get("precision")),
        likelihood_samples=final.get("likelihood_samples"),
    )


def _images_seen(summary: Mapping[str, Any], kind: str) -> int:
    """Of the row that was logged last, whatever checkpoint it was about; an untrained one has seen none."""
    seen = _number(summary.get("progress/images"))
    return 0 if kind == "untrained" or seen is None or not math.isfinite(seen) else int(seen)


def _time(created: str) -> str:
    time = datetime.fromisoformat(created)
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).isoformat()


def wandb_ids(records: Iterable[ResultRecord]) -> set[str]:
    """The W&B runs that some records name."""
    return {record.wandb_id for record in records if record.wandb_id is not None}
