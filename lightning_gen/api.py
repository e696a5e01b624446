"""The command line's short calls, for notebooks and scripts: load, evaluate, train."""

from __future__ import annotations

import json
import numbers
import os
import pathlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch

from lightning_gen import registry
from lightning_gen.checkpoint import find_checkpoint, load_model
from lightning_gen.cli import training
from lightning_gen.cli.evaluation_job import data_of, rebuild_data
from lightning_gen.cli.experiment import Experiment
from lightning_gen.cli.fit import experiment_name, require_run_folder, resolve_configs
from lightning_gen.configs import BASE
from lightning_gen.data.base import ImageDataModule
from lightning_gen.errors import UserError, did_you_mean
from lightning_gen.evaluation import Plan, Scoring
from lightning_gen.evaluation import evaluate as score_model
from lightning_gen.evaluation.api import available_device
from lightning_gen.evaluation.plan import Evaluation
from lightning_gen.leaderboard.record import ResultRecord
from lightning_gen.leaderboard.store import load_results
from lightning_gen.models.base import GenerativeModel

Path = str | os.PathLike[str]

ELSEWHERE = {
    "config": "configurations as the first argument of train",
    "resume": "resume(RUN)",
    "init_from": "train(..., init_from=RUN)",
}
"""Options of ``fit`` that no call takes by their names, and what there is for them."""

PLAN_FIELDS = {field for field in Plan.__dataclass_fields__ if field != "scoring"}
SCORING_FIELDS = {*Scoring.__dataclass_fields__}


@dataclass(frozen=True)
class Result:
    """What a training left.

    Args:
        folder: of the run.
        records: the results of its checkpoints, the newest of each last.
    """

    folder: pathlib.Path
    records: list[ResultRecord]

    @cached_property
    def model(self) -> GenerativeModel:
        """The model of its best checkpoint, else of its last."""
        return load(self.folder)

    def value(self, name: str, kind: str = "last") -> float | None:
        """A score by name, of the ``last`` or the ``best`` checkpoint; None where it was not computed."""
        found = [score.value for record in self.records if record.checkpoint.kind == kind for score in record.scores if score.name == name]
        return found[-1] if found else None


def load(run_or_checkpoint: Path, which: str = "best", *, trust: str | Sequence[str] = ()) -> GenerativeModel:
    """The model of a run folder, a checkpoint or an exported folder, in evaluation mode on the CPU.

    Args:
        run_or_checkpoint: where it is.
        which: of a run's checkpoints, ``best`` (else the last) or ``last``.
        trust: a module, or a ``.py`` file, whose classes may be used, or several.

    Raises:
        UserError: there is none, or it cannot be read.
    """
    _trust(trust)
    return load_model(find_checkpoint(run_or_checkpoint, which))


def evaluate(
    model: GenerativeModel | Path,
    data: ImageDataModule | None = None,
    *,
    root: str | None = None,
    device: torch.device | str | None = None,
    **options: Any,
) -> Evaluation:
    """Score a model on a split of its data; nothing is written. Within a process group every rank has to call this.

    Args:
        model: a model, or where one is (see :func:`load`).
        data: the data set; by default the one that the model was trained on.
        root: folder of that data set.
        device: where to work; by default where the model is.
        options: fields of :class:`~lightning_gen.evaluation.plan.Plan` and :class:`~lightning_gen.evaluation.plan.Scoring`: ``split``,
            ``num_samples``, ``metrics``, ``likelihood_samples``, ``extractor``, ...

    Raises:
        UserError: whatever is wrong with the input, in one line.
    """
    known = {*PLAN_FIELDS, *SCORING_FIELDS}
    for name in options.keys() - known:
        raise UserError(f"evaluate: unknown option {name!r}; {did_you_mean(name, known)}")
    scoring: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in options.items() if name in SCORING_FIELDS
    }
    plan = Plan(**{name: value for name, value in options.items() if name in PLAN_FIELDS}, scoring=Scoring(**scoring))
    place = None if device is None else available_device(device)
    model, data = _with_data(model, data, root)
    data.prepare_data()
    return score_model(model if place is None else model.to(place), data, plan)


def _with_data(model: GenerativeModel | Path, data: ImageDataModule | None, root: str | None) -> tuple[GenerativeModel, ImageDataModule]:
    """The model, and what to score it on."""
    if data is not None and not isinstance(data, ImageDataModule):
        raise UserError(f"data: expected a data module, such as lightning_gen.data.Digits(), got a {type(data).__name__}")
    if isinstance(model, GenerativeModel):
        return model, data_of(model, root, "model (without data=...)") if data is None else data
    path = find_checkpoint(model)
    model = load_model(path)
    return model, rebuild_data(model, path, root) if data is None else data


def build_trainer(config: Path | Sequence[Path], *, trust: str | Sequence[str] = (), **overrides: Any) -> Experiment:
    """What ``lightning-gen fit`` would train: an object with ``model``, ``datamodule``, ``trainer`` and ``folder``, ready for
    ``trainer.fit(model, datamodule=datamodule)``.

    Args:
        config: name or file of a configuration, or several, of which later ones win.
        trust: a module, or a ``.py`` file, whose classes may be used, or several.
        overrides: options of ``fit``: ``wandb="off"``, ``budget={"images": 1000}``, ``**{"model.learning_rate": 0.001}``.

    Raises:
        UserError: whatever is wrong with them, in one line.
    """
    _trust(trust)
    argv, name = _command_line(config, overrides)
    return Experiment(["--config", str(BASE), *argv], name)


def train(config: Path | Sequence[Path], *, init_from: Path | None = None, trust: str | Sequence[str] = (), **overrides: Any) -> Result:
    """Train and score as ``lightning-gen fit`` does.

    Args:
        config, trust, overrides: as for :func:`build_trainer`.
        init_from: checkpoint or run folder to take matching weights from.

    Raises:
        UserError: whatever is wrong with them, in one line.
    """
    _trust(trust)
    argv, name = _command_line(config, overrides)
    return _result(training.start(["--config", str(BASE), *argv], name, None if init_from is None else str(init_from)))


def resume(run: Path, *, trust: str | Sequence[str] = (), **overrides: Any) -> Result:
    """Continue a run from its own configuration and last checkpoint, and score it, as ``lightning-gen fit --resume`` does.

    Args:
        run: folder of the run.
        trust: as for :func:`build_trainer`.
        overrides: options that may change within a run, such as ``budget={"images": 2000}`` or ``trainer={"devices": 2}``.

    Raises:
        UserError: it is no run folder, or an option contradicts the run.
    """
    folder = pathlib.Path(run)
    require_run_folder("run", folder)
    _trust(trust)
    return _result(training.resume(folder, _options(overrides)))


def _trust(modules: str | Sequence[str]) -> None:
    for module in [modules] if isinstance(modules, str) else modules:
        registry.trust(module)


def _result(folder: pathlib.Path) -> Result:
    results = folder / "results"
    records, _ = load_results([results]) if results.is_dir() else ([], [])
    return Result(folder, sorted(records, key=lambda record: record.time))


def _command_line(config: Path | Sequence[Path], overrides: dict[str, Any]) -> tuple[list[str], str]:
    """The options of ``fit``, and what the experiment is called."""
    names = [config] if isinstance(config, str | os.PathLike) else config
    if not isinstance(names, Sequence) or not all(isinstance(name, str | os.PathLike) for name in names):
        raise UserError(f"config: expected the name or file of a configuration, or a list of them, got a {type(config).__name__}")
    options, files = resolve_configs([part for name in names for part in ("--config", os.fspath(name))])
    return options + _options(overrides), experiment_name(files)


def _options(overrides: dict[str, Any]) -> list[str]:
    for name in overrides.keys() & ELSEWHERE:
        raise UserError(f"{name}: no option of this call; expected {ELSEWHERE[name]}")
    return [f"--{key}={_as_text(key, value)}" for name, value in overrides.items() for key, value in _flat(name, value)]


def _flat(name: str, value: Any) -> list[tuple[str, Any]]:
    """Nested options as dotted ones; a class with its arguments stays whole."""
    if isinstance(value, dict) and "class_path" not in value:
        return [pair for key, inner in value.items() for pair in _flat(f"{name}.{key}", inner)]
    return [(name, value)]


def _as_text(name: str, value: Any) -> str:
    """A value as a word of the command line."""
    if isinstance(value, str | os.PathLike):
        return os.fspath(value)
    try:
        return json.dumps(value, default=_plain)
    except TypeError as error:
        raise UserError(f"{name}: expected plain data (numbers, words, lists, dictionaries), got a {error}") from error


def _plain(value: Any) -> int | float | str:
    """A path, or a number of NumPy, as Python's own; TypeError with the name of any other class."""
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, numbers.Real):
        return int(value) if isinstance(value, numbers.Integral) else float(value)
    raise TypeError(type(value).__name__)
