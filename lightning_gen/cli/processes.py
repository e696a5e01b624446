"""The same job in one process or in several, one per device: what ``evaluate``, ``score`` and ``reference`` share."""

from __future__ import annotations

import os
import pathlib
import tempfile
from collections.abc import Callable
from typing import Any

import torch
from lightning_fabric import Fabric
from torch.multiprocessing.spawn import ProcessException

from lightning_gen.errors import UserError
from lightning_gen.evaluation.extraction import ANOTHER_FAILED

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
    with tempfile.TemporaryDirectory(prefix="lightning-gen-") as folder:
        complaints = pathlib.Path(folder) / "complaints"
        try:
            return fabric.launch(_run, Opaque((work, arguments, complaints))).content
        except ProcessException as error:
            raise user_error_in(complaints) or error from error


class Opaque:
    """Fabric looks into what it passes on, for tensors to move, and refuses frozen dataclasses; it does not look into this.

    Args:
        content: anything.
    """

    def __init__(self, content: Any) -> None:
        self.content = content


def _run(fabric: Fabric, task: Opaque) -> Opaque:
    work, arguments, complaints = task.content
    try:
        return Opaque(work(fabric, *arguments))
    except UserError as error:
        # In a file: torch tells of the process that ended first, which may be one that was merely deserted.
        with complaints.open("a") as file:
            file.write(f"{error}\n")
        raise


def user_error_in(complaints: pathlib.Path) -> UserError | None:
    """What the processes complained of: the first that is not merely about another process."""
    lines = complaints.read_text().splitlines() if complaints.is_file() else []
    lines.sort(key=lambda line: line.endswith(ANOTHER_FAILED))
    return UserError(lines[0]) if lines else None
