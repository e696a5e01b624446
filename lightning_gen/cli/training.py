"""What ``fit`` does once its options are read: train, score the best and the last checkpoint, write their records."""

from __future__ import annotations

import contextlib
import dataclasses
import pathlib
import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytorch_lightning as pl
import yaml
from pytorch_lightning.utilities.exceptions import MisconfigurationException
from rich.console import Console
from torch._dynamo.exc import TorchDynamoException

from lightning_gen.analysis.score_curve import read_curve, score_curve
from lightning_gen.callbacks.run_folder import CONFIG_FILE, require_writable
from lightning_gen.checkpoint import class_of, find_checkpoint, images_seen, init_from, load_model, read_checkpoint
from lightning_gen.cli.experiment import Experiment, FinalEvaluation
from lightning_gen.cli.output import quiet
from lightning_gen.cli.scoring import publish, score_checkpoint
from lightning_gen.cli.wandb_results import log_leaderboard, log_models
from lightning_gen.errors import Preempted, UserError
from lightning_gen.evaluation import is_measurable, require_something_to_measure, require_use_of_sample_options
from lightning_gen.evaluation.defaults import choose, headline
from lightning_gen.images import save_png
from lightning_gen.leaderboard.record import ResultRecord
from lightning_gen.leaderboard.settings import experiment_settings
from lightning_gen.models.capabilities import SupportsLikelihood
from lightning_gen.reporting import describe_checkpoint
from lightning_gen.tracking import IMAGES, METRICS_FILE, WandbTracker

NAMES = 3
"""Weights that a warm start names."""


def start(argv: list[str], name: str, init: str | None) -> pathlib.Path:
    """A new run; returns its folder."""
    quiet()
    experiment = Experiment(argv, name)
    if init:
        _warm_start(experiment, init)
    return _fit(experiment, None)


def resume(folder: pathlib.Path, argv: list[str]) -> pathlib.Path:
    """Continue a run from its own configuration and its last checkpoint."""
    quiet()
    checkpoint = find_checkpoint(folder, "last")
    load_model(checkpoint)  # a broken file is refused before anything starts
    saved = yaml.safe_load((folder / CONFIG_FILE).read_text())
    experiment = Experiment(["--config", str(folder / CONFIG_FILE), *argv], folder)
    refuse_contradictions(saved, experiment.plain_config())
    if experiment.config["runs"] != saved["runs"]:
        raise UserError(f"--runs: a run that is continued stays in its folder; expected no value, got {experiment.config['runs']!r}")
    return _fit(experiment, checkpoint)


def refuse_contradictions(saved: dict[str, Any], asked: dict[str, Any]) -> None:
    """A flag that contradicts the saved experiment is refused by name, not silently ignored."""
    before, now = experiment_settings(saved), experiment_settings(asked)
    for key in sorted(before.keys() | now.keys()):
        if before.get(key) != now.get(key):
            change = f"{key} is {before.get(key)!r} in the run and {now.get(key)!r} now"
            raise UserError(f"--resume: {change}; expected no change (start a new run)")


def _warm_start(experiment: Experiment, source: str) -> None:
    path = find_checkpoint(source)
    matched, missing, unused = init_from(experiment.model, path)
    if experiment.trainer.is_global_zero:
        networks = Counter(name.partition(".")[0] for name in matched)
        taken = ", ".join(f"{count} of {network}" for network, count in networks.items())
        rest = f"; not there in this shape: {first_few(missing)}" if missing else ""
        rest += f"; there but of no use: {len(unused)} (such as {unused[0]})" if unused else ""
        other = class_of(read_checkpoint(path))
        source = "" if other == type(experiment.model).__name__ else f" from {other}"
        print(f"--init_from: took {len(matched)} of {len(matched) + len(missing)} weights{source} ({taken}){rest}", file=sys.stderr)


def first_few(names: list[str]) -> str:
    """``a, b, c and 7 more``: a deep network has hundreds of names."""
    left = len(names) - NAMES
    return ", ".join(names[:NAMES]) + (f" and {left} more" if left > 0 else "")


def _fit(experiment: Experiment, checkpoint: pathlib.Path | None) -> pathlib.Path:
    """Train, then evaluate; returns the run folder."""
    trainer = experiment.trainer
    final: FinalEvaluation = experiment.config_init["final"]
    if final.enabled:
        require_something_to_measure(experiment.model, final.num_samples, "final.num_samples")
        _require_use_of_sample_options(experiment, final)
    if trainer.is_global_zero:
        _require_data(experiment)
        require_writable(experiment.folder)
        print(f"run folder: {experiment.folder}", file=sys.stderr)
        budget = experiment.config_init["budget"].images, experiment.datamodule.batch_size
        for line in experiment.model.recipe_warnings() + experiment.model.budget_warnings(*budget):
            print(f"recipe: {line}", file=sys.stderr)
    with _closing(trainer):
        folder = _train(experiment, checkpoint)
        records = _score(experiment, folder, final) if final.enabled else []
        log_leaderboard(trainer.loggers, records)
        log_models(trainer.loggers, folder, records, experiment.config["wandb_artifacts"])
    return folder


@contextlib.contextmanager
def _closing(trainer: pl.Trainer) -> Iterator[None]:
    """Finish the W&B run however the block ends: a process that goes on, as a notebook does, has others to start."""
    code = 1
    try:
        yield
        code = 0
    except UserError as error:
        code = error.exit_code
        raise
    finally:
        for logger in trainer.loggers:
            if isinstance(logger, WandbTracker):
                logger.close(code)


def _train(experiment: Experiment, checkpoint: pathlib.Path | None) -> pathlib.Path:
    """Train to the budget, or until the run is told to stop, which is an error here; returns the run folder."""
    trainer = experiment.trainer
    try:
        trainer.fit(experiment.model, datamodule=experiment.datamodule, ckpt_path=checkpoint, weights_only=True)
    except MisconfigurationException as error:
        raise UserError(f"trainer: {' '.join(str(error).split())}") from error
    except TorchDynamoException as error:
        reason = str(error).partition("\n")[0]
        raise UserError(f"compile: the networks cannot be compiled on this machine ({reason}); expected compile: false") from error
    folder = experiment.run_folder.folder
    if not (folder / "checkpoints" / "last.ckpt").is_file():
        raise UserError("trainer: its limits (max_steps, max_epochs, limit_train_batches, max_time) left nothing to train")
    if trainer.is_global_zero:
        _draw_curve(experiment, folder)
    if experiment.preemption.preempted:
        raise Preempted(f"told to stop; saved at {experiment.model.images_seen} images, continue with: lightning-gen fit --resume {folder}")
    return folder


def _draw_curve(experiment: Experiment, folder: pathlib.Path) -> None:
    """The headline score against images seen, where it was computed at least twice, as a picture of the run."""
    data, scoring = experiment.datamodule, experiment.metrics.scoring
    name, better = headline(data, choose(data, scoring).extractor, isinstance(experiment.model, SupportsLikelihood))
    points = read_curve(folder / METRICS_FILE, name)
    if len(points) >= 2:
        pictures = folder / "pictures"
        pictures.mkdir(exist_ok=True)
        save_png(score_curve(points, name, better), str(pictures / "score_curve.png"))


def _require_use_of_sample_options(experiment: Experiment, final: FinalEvaluation) -> None:
    """Find before training what the evaluation would refuse after it."""
    try:
        require_use_of_sample_options(experiment.model, experiment.datamodule, final.plan(experiment.metrics.scoring))
    except UserError as error:
        raise UserError(f"final.{error}") from error


def _require_data(experiment: Experiment) -> None:
    """Find what is wrong with the data before a run folder is made and other processes are started."""
    experiment.datamodule.prepare_data()
    experiment.datamodule.setup("fit")
    experiment.datamodule.train_loader(0, experiment.trainer.world_size)


def _score(experiment: Experiment, folder: pathlib.Path, final: FinalEvaluation) -> list[ResultRecord]:
    """Evaluate the last and the best checkpoint, and the untrained one where it was kept, on all processes; write a record of each."""
    if not is_measurable(experiment.model, experiment.datamodule):
        lacks = "the model has no likelihood and no reconstructions"
        print(f"no scores: {experiment.datamodule.name} has no feature extractor, and {lacks}", file=sys.stderr)
        return []
    plan = final.plan(experiment.metrics.scoring)
    console = Console(stderr=True, quiet=not experiment.trainer.is_global_zero)
    device = experiment.trainer.strategy.root_device
    known: dict[int, ResultRecord] = {}
    records = []
    for kind in ("untrained", "last", "best"):
        path = folder / "checkpoints" / f"{kind}.ckpt"
        if not path.is_file():
            continue
        if (seen := images_seen(path)) in known:  # the same weights: not evaluated twice
            record = dataclasses.replace(known[seen], checkpoint=describe_checkpoint(path))
            publish(record, console)
        else:
            record = known[seen] = score_checkpoint(path, plan, experiment.datamodule, device, console)
        records.append(record)
        row = {f"{final.split}/{kind}/{score.name}": score.value for score in record.scores}
        for logger in experiment.trainer.loggers:
            logger.log_metrics(row | {IMAGES: seen})
    return records
