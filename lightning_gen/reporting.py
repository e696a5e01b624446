"""From an evaluation to the result record that the leaderboard reads."""

from __future__ import annotations

import hashlib
import pathlib
import platform
from typing import Any

import torch
import yaml

from lightning_gen import __version__, distributed
from lightning_gen.checkpoint import sha256
from lightning_gen.data.base import ImageDataModule
from lightning_gen.evaluation import Evaluation, Plan
from lightning_gen.leaderboard.record import Answer, Checkpoint, Cost, Model, ResultRecord
from lightning_gen.leaderboard.settings import experiment_settings
from lightning_gen.models.base import GenerativeModel
from lightning_gen.registry import class_path
from lightning_gen.tracking.wandb_run import ID_FILE, URL_FILE


def make_record(
    model: GenerativeModel, data: ImageDataModule, plan: Plan, evaluation: Evaluation, run: pathlib.Path, checkpoint: Checkpoint
) -> ResultRecord:
    """The record of one evaluation of one checkpoint of the run in the folder ``run``."""
    return ResultRecord(
        model=Model(
            class_path=class_path(type(model)),
            name=type(model).__name__,
            family=model.family,
            hyperparameters=model.hyperparameters,
        ),
        config_name=run.parent.name or type(model).__name__,
        config_hash=config_hash(run, model),
        checkpoint=checkpoint,
        code_version=__version__,
        scores=evaluation.scores,
        headline=evaluation.headline[0],
        cost=Cost(
            images_seen=model.images_seen,
            parameters=sum(parameter.numel() for parameter in model.trained_parameters()),
            world_size=model.training_world_size,
            warm_start_images=model.warm_start_images,
            device_hours=model.device_seconds / 3600,
            samples_per_second=evaluation.samples_per_second,
        ),
        answer=Answer(
            weights=plan.weights if model.ema is not None else model.exported_weights or "live",
            seed=plan.seed,
            precision=str(torch.get_default_dtype()).removeprefix("torch."),
            augmentation="horizontal flip" if data.horizontal_flip else None,
            likelihood_samples=plan.likelihood_samples if evaluation.log_probs is not None else None,
            sample_options=sample_options(model, plan),
        ),
        training_seed=model.training_seed,
        run_name=f"{run.parent.name}/{run.name}",
        run_folder=str(run),
        machine=machine(model.device),
        wandb_id=wandb_id(run),
        wandb_url=_line_of(run / URL_FILE),
    )


def sample_options(model: GenerativeModel, plan: Plan) -> dict[str, Any]:
    """How the model answered, with what the plan has it do otherwise."""
    return model.answer_options() | plan.sample_options | ({"conditional": True} if model.conditional else {})


def describe_checkpoint(path: pathlib.Path) -> Checkpoint:
    """Which file was scored; its kind follows from its name."""
    known = path.stem if path.stem in ("best", "last", "untrained") else "other"
    return Checkpoint(path=str(path.resolve().relative_to(run_of(path))), sha256=sha256(path), kind=known)


def run_of(checkpoint: pathlib.Path) -> pathlib.Path:
    """The run folder that a checkpoint file lies in; the file's own folder when it is not part of a run."""
    folder = checkpoint.resolve().parent
    return folder.parent if folder.name == "checkpoints" else folder


def config_hash(run: pathlib.Path, model: GenerativeModel) -> str:
    """Hash of the experiment, or of the model's hyperparameters and data where there is no run folder."""
    file = run / "config.yaml"
    if file.is_file():
        content: Any = sorted(experiment_settings(yaml.safe_load(file.read_text())).items())
    else:
        content = model.hyperparameters, model.data_spec
    return hashlib.sha256(repr(content).encode()).hexdigest()[:12]


def wandb_id(run: pathlib.Path) -> str | None:
    """The id of the run's W&B run, if it has one."""
    return _line_of(run / ID_FILE)


def _line_of(file: pathlib.Path) -> str | None:
    return file.read_text().strip() if file.is_file() else None


def machine(device: torch.device) -> str:
    """Kind of machine and device in words; host names stay private."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU ({platform.machine()}, {torch.get_num_threads()} threads)"
    return f"{distributed.world_size()}x {name}"
