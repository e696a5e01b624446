"""The pool itself: what it returns, what it does with a failure, and that nothing can block it."""

import os
import time

import pytest
import torch
import torch.distributed as dist
from distributed_pool import TaskError


def rank_and_sum(rank, world_size, value):
    total = torch.tensor([float(value + rank)])
    if world_size > 1:
        dist.all_reduce(total)
    return rank, world_size, dist.is_initialized(), total.item()


def fail_on(rank, world_size, bad):
    if rank == bad:
        raise ZeroDivisionError(f"rank {rank} divides by zero")
    dist.barrier()


def wait_for_ever(rank, world_size):
    time.sleep(1000 if rank == 1 else 0)


def die(rank, world_size):
    os._exit(7)


@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_every_task_has_its_own_group_of_its_size(world_size, pool):
    total = 10 * world_size + sum(range(world_size))
    assert pool(rank_and_sum, 10, world_size=world_size) == [(rank, world_size, world_size > 1, total) for rank in range(world_size)]


@pytest.mark.parametrize("bad", [0, 1])
def test_a_failure_comes_back_with_its_traceback_while_the_other_rank_waits(bad, pool):
    with pytest.raises(TaskError, match=r"in fail_on(.|\n)*divides by zero") as caught:
        pool(fail_on, bad, world_size=2)
    assert caught.value.rank == bad
    assert isinstance(caught.value.error, ZeroDivisionError)
    assert len(pool(rank_and_sum, 0, world_size=2)) == 2


def test_a_hang_is_an_error_and_the_next_task_runs(pool):
    start = time.monotonic()
    with pytest.raises(TimeoutError, match=r"ranks \[1\] have not finished"):
        pool(wait_for_ever, world_size=2, seconds=1.5)
    assert time.monotonic() - start < 10
    assert len(pool(rank_and_sum, 0, world_size=2)) == 2


def test_a_death_is_an_error_and_the_next_task_runs(pool):
    with pytest.raises(RuntimeError, match="has died"):
        pool(die, world_size=1)
    assert len(pool(rank_and_sum, 0, world_size=1)) == 1
