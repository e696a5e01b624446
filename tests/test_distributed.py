"""Collective operations at values that are known, without a warning; and a process that works on its own asks nobody."""

import warnings

import pytest
import torch
from distributed_pool import shared_pool

from lightning_gen import distributed

STRICT = 40.0
"""Seconds after which a process that waits for the others is given up."""


def weighted(rank, world_size, operation):
    """What a collective operation makes of this rank's rows, and the gradient of a loss that weighs its rows differently on every rank."""
    rows = torch.tensor([[1.0, 2.0], [3.0, -4.0]]).add(10 * rank).T.requires_grad_()  # not contiguous
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made = getattr(distributed, operation)(rows)
        weights = torch.arange(1.0, 1 + len(made)) * (1 + rank)
        (weights @ made).sum().backward()
    return made.tolist(), rows.grad.tolist()


def test_the_mean_over_ranks_and_its_gradient_come_without_a_warning():
    made = [[6.0, 8.0], [7.0, 1.0]]
    gradient = [[1.5, 1.5], [3.0, 3.0]]
    assert shared_pool()(weighted, "global_mean", world_size=2) == [(made, gradient)] * 2


def test_the_rows_of_all_ranks_and_their_gradients_come_without_a_warning():
    made = [[1.0, 3.0], [2.0, -4.0], [11.0, 13.0], [12.0, 6.0]]
    gradients = [[[3.0, 3.0], [6.0, 6.0]], [[9.0, 9.0], [12.0, 12.0]]]
    assert shared_pool()(weighted, "all_rows", world_size=2) == [(made, gradient) for gradient in gradients]


def second_derivative(rank, world_size):
    x = torch.tensor(float(rank + 1), requires_grad=True)
    (slope,) = torch.autograd.grad(distributed.global_mean(x.pow(3)), x, create_graph=True)
    return torch.autograd.grad(slope, x)[0].item()


def test_the_mean_over_ranks_has_second_derivatives():
    assert shared_pool()(second_derivative, world_size=2) == [6.0, 12.0]


def asked_alone(rank, world_size):
    """The last rank asks all questions on its own, while the others are already at the next one; then all answer that together."""
    own = torch.tensor([float(rank + 1)])
    answers = {}
    if rank == world_size - 1:
        layer = torch.nn.BatchNorm1d(1)
        layer.running_mean.fill_(rank)
        with distributed.alone(), distributed.buffers_of_first(layer):
            answers = {
                "is_distributed": distributed.is_distributed(),
                "rank": distributed.rank(),
                "world_size": distributed.world_size(),
                "global_mean": distributed.global_mean(own).item(),
                "all_rows": distributed.all_rows(own).tolist(),
                "global_sum": distributed.global_sum(own).item(),
                "gathered": distributed.gathered(own).item(),
                "broadcast_from_first": distributed.broadcast_from_first("mine"),
                "on_first_rank": distributed.on_first_rank(lambda: "mine"),
                "any_rank": distributed.any_rank(False, own.device),
                "barrier": distributed.barrier(),
                "running_mean": layer.running_mean.item(),
            }
    return answers, distributed.global_sum(own).item(), distributed.rank(), distributed.world_size()


def test_a_process_on_its_own_is_answered_at_once_by_itself_and_afterwards_it_is_one_of_several_again():
    first, second = shared_pool()(asked_alone, world_size=2, seconds=STRICT)
    assert first == ({}, 3.0, 0, 2)
    assert second[1:] == (3.0, 1, 2)
    assert second[0] == {
        "is_distributed": False, "rank": 0, "world_size": 1, "global_mean": 2.0, "all_rows": [2.0], "global_sum": 2.0, "gathered": 2.0,
        "broadcast_from_first": "mine", "on_first_rank": "mine", "any_rank": False, "barrier": None, "running_mean": 1.0,
    }  # fmt: skip


def broken_off(rank, world_size):
    """How many processes work together after a block on its own, inside another one, has failed; inside of the outer one, and behind it."""
    with distributed.alone():
        with pytest.raises(ZeroDivisionError), distributed.alone():
            _ = 1 / 0
        inside = distributed.world_size()
    distributed.barrier()
    return inside, distributed.world_size()


def test_a_process_is_on_its_own_until_the_outermost_block_ends_however_it_ends():
    assert shared_pool()(broken_off, world_size=2, seconds=STRICT) == [(1, 2)] * 2
