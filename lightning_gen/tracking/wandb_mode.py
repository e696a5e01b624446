"""Whether a run is tracked in W&B, and how."""

from __future__ import annotations

import importlib
import os
from typing import Literal

from pytorch_lightning.utilities import rank_zero_only

from lightning_gen.distributed import say
from lightning_gen.errors import UserError
from lightning_gen.tracking.harmless import first_line

_ENVIRONMENT_MODES = {"online": "online", "run": "online", "offline": "offline", "dryrun": "offline", "disabled": "disabled"}


def wandb_mode(setting: str) -> Literal["online", "offline"] | None:
    """How to run W&B, None for not at all: never asks, never fails because wandb, a login or the network is missing."""
    if setting not in ("auto", "on", "off"):
        raise UserError(f"wandb: expected auto, on or off, got {setting!r}")
    wanted = _environment_mode()
    if setting == "off" or (setting == "auto" and wanted == "disabled"):
        return None
    problem = "WANDB_MODE=disabled" if wanted == "disabled" else _import_problem()
    if problem:
        if setting == "on" or wanted is not None:
            say(f"W&B: left out ({problem}); metrics.csv is written as always")
        return None
    if wanted == "offline" or getattr(rank_zero_only, "rank", 0) != 0:  # only rank 0 ever starts a run
        return "offline"
    if _logged_in():
        return "online"
    if wanted == "online":
        say("W&B: WANDB_MODE=online, but nobody is logged in (`wandb login`); offline run instead")
    return "offline"


def _environment_mode() -> str | None:
    value = os.environ.get("WANDB_MODE")
    if not value:
        return None
    if value not in _ENVIRONMENT_MODES:
        raise UserError(f"WANDB_MODE: expected online, offline or disabled, got {value!r}")
    return _ENVIRONMENT_MODES[value]


def _import_problem() -> str | None:
    """Why wandb cannot be used; None when it can."""
    try:
        importlib.import_module("wandb.sdk")  # "wandb" alone succeeds on any folder of that name, such as wandb's own
    except Exception as error:  # a broken installation may raise anything
        return f"wandb cannot be imported: {first_line(error)}"
    return None


def _logged_in() -> bool:
    import wandb

    try:
        # No verification: with a key but no network it would wait for the server, and starting the run finds out anyway.
        return wandb.login(prompt=False, verify=False)
    except Exception as error:
        say(f"W&B: login failed ({first_line(error)})")
        return False
