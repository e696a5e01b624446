"""What a run needs of its launch: the strategy that the model asks for, and as many processes as were started."""

from __future__ import annotations

import os
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.plugins.environments import SLURMEnvironment

from lightning_gen.errors import UserError
from lightning_gen.models.base import GenerativeModel


def choose_strategy(model: GenerativeModel, settings: Any) -> Any:
    """The strategy for this model: alternating updates leave some parameters unused in each, which plain DDP refuses."""
    strategy = settings["strategy"]
    if strategy in ("auto", "ddp") and not model.automatic_optimization and expected_processes(settings) > 1:
        return "ddp_find_unused_parameters_true"
    return strategy


def expected_processes(settings: Any) -> int:
    """How many processes the trainer's settings ask for."""
    devices = settings["devices"]
    parts = devices if isinstance(devices, list) else [part for part in str(devices).split(",") if part]
    if len(parts) > 1 or isinstance(devices, list):
        count = len(parts)
    elif parts[0] in ("auto", "-1", "None"):
        count = torch.cuda.device_count() if settings["accelerator"] in ("auto", "gpu", "cuda") else 1
    elif parts[0].isdecimal():
        count = int(parts[0])
    else:
        raise UserError(f"trainer.devices: expected a number, a list such as 0,1, or auto, got {devices!r}")
    return max(1, count) * settings["num_nodes"]


def refuse_settings(model: GenerativeModel, settings: Any) -> None:
    """Refuse settings of the trainer that would be ignored, or that this model cannot be trained with, with the reason."""
    precision = str(settings["precision"])
    if precision in ("bf16-true", "16-true"):
        raise UserError(f"trainer.precision: likelihoods and updates need float32 weights; expected bf16-mixed or 32-true, got {precision}")
    if settings["overfit_batches"]:
        raise UserError("trainer.overfit_batches: the order of the images is a function of (seed, epoch) alone; expected 0")
    if settings["default_root_dir"] is not None:
        raise UserError(
            f"trainer.default_root_dir: every run has its own folder (--runs); expected null, got {settings['default_root_dir']}"
        )
    if model.automatic_optimization:
        return
    if precision in ("16-mixed", "16"):
        # The scaler's scale changes between the steps of the two optimisers.
        raise UserError(f"trainer.precision: one scaler cannot serve two optimisers; expected bf16-mixed or 32-true, got {precision}")
    if settings["gradient_clip_val"]:
        raise UserError("trainer.gradient_clip_val: a model of alternating updates clips by itself; expected model.clip_norm instead")
    if settings["accumulate_grad_batches"] != 1:
        raise UserError("trainer.accumulate_grad_batches: a model of alternating updates does so by model.micro_batches; expected 1")


def check_launch(trainer: pl.Trainer) -> None:
    """Refuse N independent single runs where the launcher started N processes for one."""
    launched = os.environ.get("SLURM_NTASKS" if SLURMEnvironment.detect() else "WORLD_SIZE")
    if launched is not None and int(launched) != trainer.world_size:
        raise UserError(
            f"trainer.devices: the launcher started {launched} processes but the trainer uses {trainer.world_size}, so each would train"
            f" alone; expected --trainer.strategy ddp, or --trainer.devices and --trainer.num_nodes that multiply to {launched}"
        )
