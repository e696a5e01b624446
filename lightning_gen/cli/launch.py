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
    if isinstance(devices, list):
        count = len(devices)
    elif str(devices) in ("auto", "-1"):
        count = torch.cuda.device_count() if settings["accelerator"] in ("auto", "gpu", "cuda") else 1
    else:
        count = int(devices)
    return max(1, count) * settings["num_nodes"]


def refuse_precision(model: GenerativeModel, precision: Any) -> None:
    """One gradient scaler cannot serve two losses: its scale changes between their steps."""
    if not model.automatic_optimization and precision in ("16-mixed", "16", 16):
        raise UserError(
            f"trainer.precision: {precision} scales the gradients, and one scaler cannot serve two optimisers; expected bf16-mixed or 32"
        )


def check_launch(trainer: pl.Trainer) -> None:
    """Refuse N independent single runs where the launcher started N processes for one."""
    launched = os.environ.get("SLURM_NTASKS" if SLURMEnvironment.detect() else "WORLD_SIZE")
    if launched is not None and int(launched) != trainer.world_size:
        raise UserError(
            f"trainer.devices: the launcher started {launched} processes but the trainer uses {trainer.world_size}, so each would train"
            f" alone; expected --trainer.strategy ddp, or --trainer.devices and --trainer.num_nodes that multiply to {launched}"
        )
