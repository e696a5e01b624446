"""Where the members of a sweep run: each in a place with its own share of the devices and cores of this machine."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from lightning_gen.errors import UserError

CORES_PER_MEMBER = 4
"""Without a GPU, unless somebody says how many members run at once: small networks gain little from more."""


@dataclass(frozen=True)
class Place:
    """What one member at a time may use.

    Args:
        environment: variables of its process.
        cores: to which its process is kept; empty for all.
    """

    environment: dict[str, str]
    cores: frozenset[int] = frozenset()


def places(jobs: int | None, members: int, gpus: Sequence[str], cores: Sequence[int]) -> list[Place]:
    """One place for each member that runs at the same time.

    Args:
        jobs: how many; None for one per GPU, or else one for every :data:`CORES_PER_MEMBER` cores.
        members: how many there are to run; no more places are made.
        gpus: as ``CUDA_VISIBLE_DEVICES`` names them.
        cores: the numbers of those that this process may use.
    """
    if jobs is not None and jobs < 1:
        raise UserError(f"--jobs: expected at least 1, got {jobs}")
    wanted = jobs or len(gpus) or max(1, len(cores) // CORES_PER_MEMBER)
    count = max(1, min(wanted, members))
    made = []
    for index in range(count):
        own = _share(cores, index, count)
        environment = {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(len(own)))}
        if gpus:
            environment["CUDA_VISIBLE_DEVICES"] = ",".join(_share(gpus, index, count))
        made.append(Place(environment, frozenset(own) if count > 1 else frozenset()))
    return made


def _share(parts: Sequence, index: int, count: int) -> Sequence:
    """The ``index``-th of ``count`` equal shares; where there are more shares than parts, several have the same part."""
    size = max(1, len(parts) // count)
    start = index * size if len(parts) >= count else index % len(parts)
    return parts[start : start + size]


def usable_cores() -> list[int]:
    """The numbers of the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # Linux
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def usable_gpus() -> list[str]:
    """The GPUs that this process may use, by the names that its own environment has for them."""
    import torch

    count = torch.cuda.device_count()
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = [str(index) for index in range(count)] if named is None else [name.strip() for name in named.split(",")]
    return names[:count]


def keep_to(process: int, cores: frozenset[int]) -> None:
    """Keep a process that has just been started to some cores, where the system can do that."""
    if cores and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(process, cores)
