"""When a run has met NaN or infinity, its folder receives what ``lightning-gen debug`` replays."""

from __future__ import annotations

import pathlib

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities import GradClipAlgorithmType

from lightning_gen.analysis.nonfinite import failure_file, write_failure
from lightning_gen.distributed import is_distributed, rank
from lightning_gen.errors import NonFiniteLossError, UserError
from lightning_gen.models.base import GenerativeModel


class NonFinite(pl.Callback):
    """Looks at the gradients where that is free, and saves the step on which a run has failed."""

    def on_train_start(self, trainer: pl.Trainer, model: GenerativeModel) -> None:
        """What a run is resumed from is its last good checkpoint until it saves another."""
        if trainer.ckpt_path is not None:
            model.guard.last_checkpoint = str(trainer.ckpt_path)

    def on_before_optimizer_step(self, trainer: pl.Trainer, model: GenerativeModel, optimizer: torch.optim.Optimizer) -> None:
        """Stop before a bad gradient reaches the weights; clipping by value makes an infinite one harmless."""
        if not (trainer.gradient_clip_val and trainer.gradient_clip_algorithm == GradClipAlgorithmType.VALUE):
            model.guard.check_gradients(model, optimizer)

    def on_exception(self, trainer: pl.Trainer, model: GenerativeModel, exception: BaseException) -> None:
        """Save the step on the rank that has it; the others wait for nothing."""
        if not isinstance(exception, NonFiniteLossError):
            return
        folder = pathlib.Path(trainer.default_root_dir)
        advice = f"replay it with: lightning-gen debug {folder}"
        if model.guard.failure is not None:
            try:
                write_failure(model, failure_file(folder), str(trainer.precision), rank())
            except (UserError, RuntimeError) as error:  # a full disk must not hide why the run ended
                advice = f"its batch cannot be saved: {error}"
        elif not is_distributed():
            return
        exception.args = (f"{exception}; {advice}",)
