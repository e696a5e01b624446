"""Sums of features: right, exact, and the same bits whatever the order, the pieces, the threads and the place of the files."""

import math

import numpy as np
import pytest
import torch

from lightning_gen.errors import UserError
from lightning_gen.metrics import accumulators
from lightning_gen.metrics.accumulators import LARGEST_EXACT, NUM_GROUPS, GroupSums, fixed_point, group_of


def random_features(count=1000, d=8, scale=3.0, shift=1.0):
    return (np.random.default_rng(0).normal(size=(count, d)) * scale + shift).astype(np.float32)


@pytest.fixture
def features():
    return random_features()


@pytest.mark.parametrize("count", [1, 7, 200, 1003])
def test_groups_are_of_one_size_and_do_not_follow_the_order_of_the_images(count):
    sizes = np.bincount(group_of(count), minlength=NUM_GROUPS)
    assert sizes.max() - sizes.min() <= 1
    np.testing.assert_array_equal(group_of(count), group_of(count))
    if count > 1000:
        for period in (10, 64, 100):  # classes in turn, blocks, a sorted set
            table = np.zeros((NUM_GROUPS, period))
            np.add.at(table, (group_of(count), np.arange(count) % period), 1)
            assert (table > 0).mean() > 0.6


@pytest.mark.parametrize("arithmetic", ["fast", "reference"])
def test_mean_and_covariance_are_numpys(features, arithmetic):
    gaussian = GroupSums(features, arithmetic=arithmetic).gaussian()
    assert gaussian.count == 1000
    np.testing.assert_allclose(gaussian.mean.numpy(), features.astype(np.float64).mean(0), atol=1e-5)
    np.testing.assert_allclose(gaussian.covariance.numpy(), np.cov(features.astype(np.float64), rowvar=False), rtol=1e-4, atol=1e-5)


def test_fixed_point_sums_are_the_integers_that_python_adds(features):
    """Python's integers have no largest one."""
    sums = GroupSums(features)
    moved = features.astype(np.float64) - (features.min(0).astype(np.float64) + features.max(0)) / 2
    integers = [[round(float(value) * 2**sums.bits) for value in row] for row in moved]
    d = features.shape[1]
    total = [sum(row[i] for row in integers) for i in range(d)]
    outer = [[sum(row[i] * row[j] for row in integers) for j in range(d)] for i in range(d)]
    found_total, found_outer = sums._total(sums.groups)
    assert (found_total * 2**sums.bits).long().tolist() == total
    assert (found_outer * 4**sums.bits).long().tolist() == outer
    assert max(outer[i][i] for i in range(d)) < LARGEST_EXACT


@pytest.mark.parametrize("scale", [1e-30, 1e-6, 1e-3, 1.0, 30.0, 1e4, 1e30])
@pytest.mark.parametrize("count", [2, 1000])
def test_the_scale_follows_the_features_and_no_sum_can_overflow(scale, count):
    features = np.resize(np.array([[scale], [-scale]], np.float32), (count, 1))
    _, bits = fixed_point(features, "it")
    largest = round(float(features.max()) * 2.0**bits)
    assert count * largest**2 < LARGEST_EXACT
    assert count * (4 * largest) ** 2 >= LARGEST_EXACT / 2, "no bit is given away"
    GroupSums(features, "it")._total([*range(min(count, NUM_GROUPS))])


@pytest.mark.parametrize(("scale", "shift"), [(1e-12, 0.0), (1.0, 1e4), (1e-3, -30.0), (1e20, 0.0)])
def test_neither_small_features_nor_large_offsets_cost_precision(scale, shift):
    features = random_features(1000, 4, scale, shift)
    gaussian = GroupSums(features).gaussian()
    expected = np.cov(features.astype(np.float64), rowvar=False)
    np.testing.assert_allclose(gaussian.covariance.numpy(), expected, rtol=1e-4, atol=1e-5 * expected.max())
    np.testing.assert_allclose(gaussian.mean.numpy(), features.astype(np.float64).mean(0), rtol=1e-5, atol=1e-5 * scale)


def test_features_that_are_all_the_same_have_no_covariance():
    gaussian = GroupSums(np.full((100, 3), 0.3, np.float32)).gaussian()
    assert gaussian.covariance.abs().max() == 0
    assert gaussian.mean.tolist() == [float(np.float32(0.3))] * 3


def test_inception_like_features_keep_more_than_14_bits():
    features = np.abs(random_features(50_000, 2, scale=0.4, shift=0.4))
    assert fixed_point(features, "it")[1] >= 15


@pytest.mark.parametrize("chunk", [1, 7, 64, 4096])
@pytest.mark.parametrize("threads", [1, 2])
def test_chunks_and_threads_change_no_bit(features, chunk, threads, monkeypatch):
    expected = GroupSums(features).gaussian()
    monkeypatch.setattr(accumulators, "CHUNK", chunk)
    torch.set_num_threads(threads)
    found = GroupSums(features).gaussian()
    assert torch.equal(found.mean, expected.mean)
    assert torch.equal(found.covariance, expected.covariance)


def test_the_order_of_the_images_changes_no_bit(features):
    shuffled = features[np.random.default_rng(1).permutation(len(features))]
    one, other = GroupSums(features).gaussian(), GroupSums(shuffled).gaussian()
    assert torch.equal(one.mean, other.mean)
    assert torch.equal(one.covariance, other.covariance)


def test_plain_float64_sums_do_depend_on_it(features, monkeypatch):
    """The control: what fixed point is for."""
    shuffled = features[np.random.default_rng(1).permutation(len(features))]
    one, other = (GroupSums(x, arithmetic="reference").gaussian() for x in (features, shuffled))
    assert not torch.equal(one.covariance, other.covariance)


def test_large_sums_go_through_a_file_bit_for_bit(features, monkeypatch):
    expected = GroupSums(features).gaussian()
    monkeypatch.setattr(accumulators, "IN_MEMORY", 4)
    sums = GroupSums(features)
    for _ in range(2):  # computed, then read
        assert torch.equal(sums.gaussian().covariance, expected.covariance)
    assert not sums._sums


@pytest.mark.parametrize("group", [0, 5, 9])
def test_leaving_out_a_group_is_as_if_its_images_had_never_come(features, group):
    sums = GroupSums(features)
    found = sums.gaussian({*sums.groups} - {group})
    kept = features[group_of(len(features)) != group]
    assert found.count == len(kept)
    np.testing.assert_allclose(found.mean.numpy(), kept.astype(np.float64).mean(0), atol=1e-6)
    np.testing.assert_allclose(found.covariance.numpy(), np.cov(kept.astype(np.float64), rowvar=False), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("count", "has_rows"), [(8, True), (9, False), (2, True)])
def test_few_images_keep_their_features_and_many_do_not(count, has_rows):
    features = random_features(count)
    gaussian = GroupSums(features).gaussian()
    assert (gaussian.rows is not None, gaussian.covariance is None) == (has_rows, has_rows)
    np.testing.assert_allclose(
        gaussian.covariance_matrix().numpy(), np.cov(features.astype(np.float64), rowvar=False), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_features_that_are_not_finite_are_refused(features, value):
    features[17, 3] = value
    with pytest.raises(UserError, match=r"^samples: a feature is not finite"):
        GroupSums(features, "samples")


def test_one_image_has_no_covariance():
    with pytest.raises(UserError, match="at least 2 images, got 1"):
        GroupSums(random_features(1)).gaussian()


def test_empty_groups_are_left_out():
    sums = GroupSums(random_features(3))
    assert len(sums.groups) == 3
    assert sorted(sums.counts.tolist()) == [0] * (NUM_GROUPS - 3) + [1, 1, 1]
