"""The order of training is a function of (seed, epoch); evaluation visits every index once."""

import numpy as np
import pytest

from lightning_gen.data.sampler import KeyedOrder, epoch_order, evaluation_blocks
from lightning_gen.errors import UserError


def test_an_epoch_is_a_permutation():
    assert sorted(epoch_order(seed=3, epoch=5, count=1000)) == list(range(1000))


def test_the_order_is_a_function_of_seed_and_epoch():
    orders = {(seed, epoch): tuple(epoch_order(seed, epoch, 100)) for seed in range(3) for epoch in range(3)}
    assert len(set(orders.values())) == 9
    assert orders == {key: tuple(epoch_order(*key, 100)) for key in orders}


def test_the_order_never_changes_between_versions():
    assert epoch_order(seed=0, epoch=0, count=10).tolist() == [3, 7, 8, 5, 0, 1, 2, 9, 6, 4]


@pytest.mark.parametrize("world_size", [1, 2, 4])
def test_ranks_together_see_the_global_batch(world_size):
    whole = KeyedOrder(103, 20, seed=1)
    ranks = [KeyedOrder(103, 20, 1, rank, world_size) for rank in range(world_size)]
    assert np.array_equal(np.concatenate([rank.epoch(2) for rank in ranks], axis=1), whole.epoch(2))
    assert [position for rank in ranks for position in rank.positions(7)] == list(whole.positions(7)) == list(range(140, 160))


def test_only_the_last_incomplete_batch_is_dropped():
    order = KeyedOrder(103, 20, seed=1)
    assert order.num_batches == 5
    assert order.epoch(0).ravel().tolist() == epoch_order(1, 0, 103)[:100].tolist()


def test_a_batch_size_that_the_processes_do_not_divide_is_refused():
    with pytest.raises(UserError, match=r"data\.batch_size: 50 is the global batch size; expected a multiple of the 4 processes"):
        KeyedOrder(100, 50, seed=0, world_size=4)


def test_a_batch_larger_than_the_split_is_refused():
    with pytest.raises(UserError, match=r"data\.batch_size: expected at most the 100 images of the training split, got 101"):
        KeyedOrder(100, 101, seed=0)


@pytest.mark.parametrize("count", [1, 64, 130, 400])
@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_evaluation_covers_every_index_once(count, world_size):
    parts = [evaluation_blocks(count, rank, world_size) for rank in range(world_size)]
    assert sorted(index for part in parts for block in part for index in block) == list(range(count))
    assert all(block.start // 64 % world_size == rank for rank, part in enumerate(parts) for block in part)


def test_a_rank_without_blocks_is_empty():
    assert evaluation_blocks(100, rank=2, world_size=3) == []
