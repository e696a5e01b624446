"""The folder of a run: its configuration, metrics, pictures, checkpoints and results."""

from __future__ import annotations

import datetime
import os
import pathlib
import secrets
from typing import Any, Literal

import pytorch_lightning as pl
import yaml

from lightning_gen.data.base import ImageDataModule
from lightning_gen.errors import UserError
from lightning_gen.models.base import GenerativeModel
from lightning_gen.tracking import Direction, build_trackers

CONFIG_FILE = "config.yaml"


def new_run_folder(runs: str, config_name: str) -> pathlib.Path:
    """A name for a new run, ``<runs>/<config>/<time>-<id>``; nothing is created."""
    stamp = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    return pathlib.Path(runs) / config_name / f"{stamp}-{secrets.token_hex(3)}"


def require_writable(folder: pathlib.Path) -> None:
    """Create ``folder`` and refuse one that cannot be written to, before anything is computed."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".writable-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise UserError(f"run folder {str(folder)!r}: cannot be written to ({error.strerror})") from error


def tags_of(model: GenerativeModel, data: ImageDataModule) -> tuple[str, str, str]:
    """What a W&B run can be found by: the model's family and class, and the data set."""
    return model.family, type(model).__name__, data.name


class RunFolder(pl.Callback):
    """Decides the run's folder once for all processes, writes the configuration there, and starts the trackers.

    Every process proposes a name and rank 0's is broadcast: unlike a name in the environment, this also serves processes that torchrun or
    SLURM started, which have no common parent of ours.

    Args:
        folder: this process's proposal.
        config: the whole configuration.
        scores: the scores that will be logged, and which way they are better.
        wandb: ``auto``, ``on`` or ``off``.
        wandb_project: the W&B project; None for the default.
    """

    def __init__(
        self,
        folder: pathlib.Path,
        config: dict[str, Any],
        scores: dict[str, Direction],
        wandb: Literal["auto", "on", "off"] = "auto",
        wandb_project: str | None = None,
    ) -> None:
        super().__init__()
        self.folder = folder
        self.config = config
        self.scores = scores
        self.wandb = wandb
        self.wandb_project = wandb_project

    def setup(self, trainer: pl.Trainer, model: GenerativeModel, stage: str) -> None:
        """Agree on the folder, before anything is written."""
        self.folder = pathlib.Path(trainer.strategy.broadcast(str(self.folder)))
        trainer._default_root_dir = str(self.folder)  # the public property has no setter
        if trainer.is_global_zero:
            require_writable(self.folder)
            (self.folder / "checkpoints").mkdir(exist_ok=True)
            self._write_config()
        trainer.strategy.barrier("run folder")
        trackers = build_trackers(
            self.folder,
            self.config,
            scores=self.scores,
            wandb=self.wandb,
            project=self.wandb_project,
            tags=tags_of(model, trainer.datamodule),
        )
        trainer.loggers = [*trackers, *trainer.loggers]

    def _write_config(self) -> None:
        partial = self.folder / f".{CONFIG_FILE}.partial"
        partial.write_text(yaml.safe_dump(self.config, sort_keys=False))
        os.replace(partial, self.folder / CONFIG_FILE)
