"""The same job in one process or in several, one per device: what ``evaluate``, ``score`` and ``reference`` share."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import Any

import torch
from lightning_fabric import Fabric
from torch.multiprocessing import ProcessRaisedException

from lightning_gen.errors import UserError

PROCESSES_PER_CORE = 4
"""More processes than that on a CPU only fill its memory."""


def check_devices(devices: int) -> None:
    """Refuse more processes than this machine has room for."""
    available = torch.cuda.device_count() or PROCESSES_PER_CORE * (os.cpu_count() or 1)
    if not 1 <= devices <= available:
        raise UserError(f"--devices: expected 1 to {available} on this machine, got {devices}")


def launch(work: Callable[..., Any], devices: int, *arguments: Any) -> Any:
    """What ``work(fabric, *arguments)`` returns on rank 0; a process's own complaint stays one line.

    Args:
        work: a module's function.
        devices: number of processes.
        arguments: what can be pickled, as well as what is returned.
    """
    accelerator = "cuda" if torch.cuda.is_available() else "cpu"
    fabric = Fabric(accelerator=accelerator, devices=devices, strategy="ddp_spawn" if devices > 1 else "auto")
    try:
        return fabric.launch(_run, Opaque((work, arguments))).content
    except ProcessRaisedException as error:
        raise user_error_in(str(error)) or error from error


class Opaque:
    """Fabric looks into what it passes on, for tensors to move, and refuses frozen dataclasses; it does not look into this.

    Args:
        content: anything.
    """

    def __init__(self, content: Any) -> None:
        self.content = content


def _run(fabric: Fabric, task: Opaque) -> Opaque:
    work, arguments = task.content
    return Opaque(work(fabric, *arguments))


def user_error_in(report: str) -> UserError | None:
    """A process's own complaint, out of the traceback in which it reaches its parent."""
    found = re.findall(r"^lightning_gen\.errors\.\w+: (.+)$", report, flags=re.MULTILINE)
    return UserError(found[-1]) if found else None
