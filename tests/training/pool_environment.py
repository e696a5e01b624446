"""Lets a Lightning Trainer with strategy ``ddp`` use the process group in which the pool runs a task."""

from __future__ import annotations

import torch.distributed as dist
from pytorch_lightning.plugins.environments import ClusterEnvironment


class PoolEnvironment(ClusterEnvironment):
    """The processes are there already, and so is their group."""

    creates_processes_externally = True
    main_address = "localhost"
    main_port = 0

    @staticmethod
    def detect() -> bool:
        return False

    def world_size(self) -> int:
        return dist.get_world_size()

    def set_world_size(self, size: int) -> None:
        assert size == dist.get_world_size()

    def global_rank(self) -> int:
        return dist.get_rank()

    def set_global_rank(self, rank: int) -> None:
        assert rank == dist.get_rank()

    def local_rank(self) -> int:
        return dist.get_rank()

    def node_rank(self) -> int:
        return 0
