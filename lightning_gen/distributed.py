"""The few collective operations that the project needs, with one process each the identity; and how to speak once for all processes."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, TypeVar, cast

import torch
import torch.distributed as dist
from pytorch_lightning.utilities import rank_zero_only
from torch import Tensor, nn

_log = logging.getLogger("lightning_gen")

T = TypeVar("T")


_on_its_own = False


def is_distributed() -> bool:
    """Whether this process is one of several that train or evaluate together."""
    return not _on_its_own and dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """This process works on its own for a while: the others do something else, and would never answer."""
    global _on_its_own
    before, _on_its_own = _on_its_own, True
    try:
        yield
    finally:
        _on_its_own = before


def rank() -> int:
    """This process's number, from 0."""
    return dist.get_rank() if is_distributed() else 0


def world_size() -> int:
    """How many processes work together."""
    return dist.get_world_size() if is_distributed() else 1


def global_mean(tensor: Tensor) -> Tensor:
    """The mean of ``tensor`` over ranks, differentiable: for loss terms and statistics that are not means of per-image terms."""
    return cast(Tensor, _SumOverRanks.apply(tensor)) / world_size() if is_distributed() else tensor


def all_rows(rows: Tensor) -> Tensor:
    """The rows of all ranks, of equally many each, in the order of ranks; differentiable."""
    if not is_distributed():
        return rows
    others = rows.new_zeros(world_size() - 1, *rows.shape)
    placed = torch.cat([*others[: rank()], rows, *others[rank() :]])
    return cast(Tensor, _SumOverRanks.apply(placed))


def global_sum(tensor: Tensor) -> Tensor:
    """The sum of ``tensor`` over ranks."""
    if is_distributed():
        tensor = tensor.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(tensor)
    return tensor


class _SumOverRanks(torch.autograd.Function):
    """The sum over ranks, differentiable: every rank's loss depends on every rank's part, so the gradients are summed over ranks too.

    Of torch's own, ``torch.distributed.nn`` is deprecated, and what it refers to is private and was not always differentiable.
    """

    @staticmethod
    def forward(ctx: Any, tensor: Tensor) -> Tensor:
        return global_sum(tensor)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        return _SumOverRanks.apply(gradient)


def gathered(rows: Tensor) -> Tensor:
    """The sum over ranks of float32 rows of which every rank but one holds zeros, bit for bit (minus zero and NaN included)."""
    return global_sum(rows.view(torch.int32)).view(torch.float32) if is_distributed() else rows


def broadcast_from_first(value: T) -> T:
    """Rank 0's plain value on every rank."""
    if not is_distributed():
        return value
    holder: list[Any] = [value]
    dist.broadcast_object_list(holder, src=0)
    return cast(T, holder[0])


def on_first_rank(function: Callable[[], T]) -> T:
    """What ``function`` returns on rank 0, on every rank; what it raises there, every rank raises, so that none waits for ever."""
    outcome: tuple[T | None, Exception | None] = (None, None)
    if rank() == 0:
        try:
            outcome = function(), None
        except Exception as error:
            if not is_distributed():
                raise
            outcome = None, error
    result, failure = broadcast_from_first(outcome)
    if failure is not None:
        raise failure
    return cast(T, result)


def any_rank(flag: bool, device: torch.device) -> bool:
    """Whether ``flag`` is set on at least one rank; every rank has to ask."""
    if not is_distributed():
        return flag
    flags = torch.tensor(int(flag), device=device)
    dist.all_reduce(flags, op=dist.ReduceOp.MAX)
    return bool(flags.item())


def say(message: str) -> None:
    """One line on rank 0; a warning, since what Lightning merely informs of is kept out of the output."""
    if getattr(rank_zero_only, "rank", 0) == 0:  # known to Lightning before the processes know each other
        _log.warning(message)


@cache
def say_once(message: str) -> None:
    """:func:`say`, the first time that this process has that to say."""
    say(message)


def barrier() -> None:
    """Wait for all ranks."""
    if is_distributed():
        dist.barrier()


@contextlib.contextmanager
def buffers_of_first(module: nn.Module) -> Iterator[None]:
    """Rank 0's buffers on every rank for the time of an evaluation; afterwards every rank has its own again."""
    own = [buffer.clone() for buffer in module.buffers()] if is_distributed() else []
    broadcast_buffers(module)
    try:
        yield
    finally:
        with torch.no_grad():
            for buffer, value in zip(module.buffers(), own, strict=False):
                buffer.copy_(value)


def broadcast_buffers(module: nn.Module) -> None:
    """Give every rank rank 0's buffers: Lightning's manual optimisation lets BatchNorm's running statistics drift apart."""
    if is_distributed():
        for buffer in module.buffers():
            dist.broadcast(buffer, src=0)
