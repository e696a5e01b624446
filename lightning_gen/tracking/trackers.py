"""The loggers of a run."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pytorch_lightning.loggers import Logger

from lightning_gen.distributed import say
from lightning_gen.tracking.csv_file import CSVTracker
from lightning_gen.tracking.harmless import first_line
from lightning_gen.tracking.wandb_mode import wandb_mode
from lightning_gen.tracking.wandb_run import Direction, WandbTracker


def build_trackers(
    run_folder: str | os.PathLike[str],
    config: Mapping[str, Any],
    *,
    scores: Mapping[str, Direction] | None = None,
    wandb: Literal["auto", "on", "off"] = "auto",
    project: str | None = None,
    tags: Sequence[str] = (),
) -> list[Logger]:
    """The loggers of a run: the CSV file first, then W&B unless it is off or missing. Every rank gets the same kinds of loggers.

    Args:
        run_folder: where everything is written.
        config: the whole configuration, as plain data.
        scores: name of each score that is logged as ``eval/<name>`` or ``full/<name>`` -> which way it is better.
        wandb: ``auto`` follows ``WANDB_MODE``, else is online when logged in, else offline, and silently nothing where wandb is not
            installed; ``on`` is the same but says why there is none; ``off``.
        project: the W&B project.
        tags: what W&B's run can be found by.
    """
    trackers: list[Logger] = [CSVTracker(run_folder)]
    mode = wandb_mode(wandb)
    if mode is not None:
        try:
            trackers.append(WandbTracker(run_folder, config, scores or {}, mode, project, tags))
        except Exception as error:
            say(f"W&B: left out ({first_line(error)}); metrics.csv is written as always")
    return trackers
