"""Nearest neighbours and authenticity against their definitions."""

import numpy as np
import pytest
import torch

from lightning_gen.errors import UserError
from lightning_gen.metrics.neighbours import ExactDistances, authenticity, nearest_neighbours


def features(count, d=6, scale=1.0):
    return (torch.randn(count, d) * scale).numpy()


def distances(x, y):
    return np.sqrt(((x[:, None].astype(np.float64) - y[None].astype(np.float64)) ** 2).sum(-1))


@pytest.mark.parametrize("block", [1024, 7])
@pytest.mark.parametrize("k", [1, 4, 50])
def test_they_are_the_k_smallest_distances(k, block, monkeypatch):
    monkeypatch.setattr("lightning_gen.metrics.neighbours.ROWS_PER_BLOCK", block)
    queries, table = features(30), features(50)
    found, indices = nearest_neighbours(queries, table, k)
    expected = distances(queries, table)
    np.testing.assert_array_equal(indices, np.argsort(expected, 1, kind="stable")[:, :k])
    np.testing.assert_allclose(found, np.sort(expected, 1)[:, :k], rtol=1e-6)


@pytest.mark.parametrize("block", [1024, 4])
def test_of_equal_neighbours_the_first_is_named(block, monkeypatch):
    monkeypatch.setattr("lightning_gen.metrics.neighbours.ROWS_PER_BLOCK", block)
    table = np.array([[3], [1], [1], [-1], [1], [1]], np.float32)
    found, indices = nearest_neighbours(np.array([[0], [1]], np.float32), table, 4)
    assert indices.tolist() == [[1, 2, 3, 4], [1, 2, 4, 5]]
    assert found.tolist() == [[1, 1, 1, 1], [0, 0, 0, 0]]


def test_a_copy_is_at_distance_zero_however_large_the_features():
    table = features(40, 300) + np.float32(1000)
    found, indices = nearest_neighbours(table[5:9].copy(), table, 1)
    assert found.tolist() == [[0]] * 4
    assert indices[:, 0].tolist() == [5, 6, 7, 8]


def test_distances_are_exact_so_that_both_directions_and_all_blocks_agree():
    x, y = features(40, 100), features(30, 100, 3.0)
    exact = ExactDistances(x=x, y=y)
    one, other = (exact.prepare(torch.from_numpy(values)) for values in (x, y))
    whole = exact.between(one, other)
    assert torch.equal(whole, exact.between(other, one).T)
    assert torch.equal(whole[7:9, 3:4], exact.between(tuple(part[7:9] for part in one), tuple(part[3:4] for part in other)))
    assert torch.equal(whole, whole.round())
    np.testing.assert_allclose(whole.mul(exact.unit).sqrt().numpy(), distances(x, y), rtol=1e-6)


@pytest.mark.parametrize("block", [1024, 9])
def test_distances_to_other_rows_leave_out_the_row_itself(block, monkeypatch):
    monkeypatch.setattr("lightning_gen.metrics.neighbours.ROWS_PER_BLOCK", block)
    table = features(40)
    exact = ExactDistances(table=table)
    expected = distances(table, table)
    np.fill_diagonal(expected, np.inf)
    np.testing.assert_allclose(exact.to_neighbours(table, 3).mul(exact.unit).sqrt().numpy(), np.sort(expected, 1)[:, :3], rtol=1e-6)


def authentic_share(samples, train):
    """Sample by sample, as defined."""
    count = 0
    for sample in samples:
        to_train = distances(sample[None], train)[0]
        nearest = int(to_train.argmin())
        to_others = distances(train[nearest][None], np.delete(train, nearest, 0))[0]
        count += to_train[nearest] > to_others.min()
    return count / len(samples)


@pytest.mark.parametrize("block", [1024, 16])
def test_authenticity_is_its_definition(block, monkeypatch):
    monkeypatch.setattr("lightning_gen.metrics.neighbours.ROWS_PER_BLOCK", block)
    train = features(60)
    samples = np.concatenate([features(40), train[:20] + 0.3 * features(20)]).astype(np.float32)
    share = authenticity(samples, train)
    assert 0.2 < share < 0.9
    assert share == authentic_share(samples, train)


@pytest.mark.parametrize("block", [1024, 1])
def test_equal_distances_are_not_authentic_and_the_first_of_equal_neighbours_counts(block, monkeypatch):
    monkeypatch.setattr("lightning_gen.metrics.neighbours.ROWS_PER_BLOCK", block)
    assert authenticity(np.array([[-2]], np.float32), np.array([[0], [2]], np.float32)) == 0
    # At distance 1 from -1, whose other neighbour is 2 away, and from 1, whose is 0.5 away.
    train = np.array([[-1], [1], [1.5]], np.float32)
    assert authenticity(np.array([[0]], np.float32), train) == 0
    assert authenticity(np.array([[0]], np.float32), train[::-1]) == 1


def test_copies_are_not_authentic_and_outliers_are():
    train = features(30)
    assert authenticity(train[:10], train) == 0
    assert authenticity(train[:10] + 100, train) == 1


def test_what_has_no_neighbours_is_refused_in_one_line():
    x = features(5)
    with pytest.raises(UserError, match="table: expected at least 6 rows, got 5"):
        nearest_neighbours(x, x, 6)
    with pytest.raises(UserError, match="k: expected at least 1, got 0"):
        nearest_neighbours(x, x, 0)
    with pytest.raises(UserError, match="train: expected at least 2 rows, got 1"):
        authenticity(x, x[:1])
    with pytest.raises(UserError, match="have 6 features"):
        nearest_neighbours(x, x[:, 1:], 1)
    with pytest.raises(UserError, match="queries: features are not finite in rows 0 to 4"):
        nearest_neighbours(np.full_like(x, np.nan), x, 1)
