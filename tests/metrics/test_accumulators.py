"""Sums over images: right, and the same bits whatever the order, the batches and the number of accumulators."""

import math

import numpy as np
import pytest
import torch

from lightning_gen.errors import UserError
from lightning_gen.evaluation import jackknife
from lightning_gen.metrics import accumulators
from lightning_gen.metrics.accumulators import NUM_GROUPS, FeatureAccumulator, FeatureSums, FixedPointSum
from lightning_gen.metrics.frechet import frechet_distance
from lightning_gen.noise import BLOCK, blocks

CPU = torch.device("cpu")
PARTS = ("count", "sum", "outer", "sum_p", "sum_p_log_p")


@pytest.fixture
def stream():
    """Features and log-probabilities of 1000 images."""
    return torch.randn(1000, 8) * 3 + 1, (2 * torch.randn(1000, 5)).log_softmax(1)


def accumulator():
    return FeatureAccumulator(8, 5, CPU)


def add_blocks(target, stream, numbers=None):
    """Add some blocks of the stream, in the order in which they are named."""
    features, log_p = stream
    cut = list(blocks(len(features)))
    for number in range(len(cut)) if numbers is None else numbers:
        chosen = slice(cut[number].start, cut[number].stop)
        target.add(number, features[chosen], log_p[chosen])
    return target


def same_bits(one, other):
    return all(torch.equal(a, b) for a, b in zip(one.parts, other.parts, strict=True))


def test_mean_and_covariance_are_numpys_of_the_features_in_fixed_point(stream):
    rounded = (stream[0].double() * 2**14).round().numpy() / 2**14
    gaussian = add_blocks(accumulator(), stream).reduce().gaussian()
    assert gaussian.count == 1000
    np.testing.assert_allclose(gaussian.mean.numpy(), rounded.mean(0), rtol=1e-13)
    np.testing.assert_allclose(gaussian.covariance.numpy(), np.cov(rounded, rowvar=False), rtol=1e-11, atol=1e-12)


def test_fixed_point_is_close_to_the_features_themselves(stream):
    gaussian = add_blocks(accumulator(), stream).reduce().gaussian()
    features = stream[0].double().numpy()
    np.testing.assert_allclose(gaussian.mean.numpy(), features.mean(0), atol=2.0**-15)
    np.testing.assert_allclose(gaussian.covariance.numpy(), np.cov(features, rowvar=False), atol=1e-4)


def test_the_classifier_score_is_that_of_all_images(stream):
    p = stream[1].double().exp()
    expected = math.exp((p * (p.log() - p.mean(0).log())).sum(1).mean())
    assert add_blocks(accumulator(), stream).reduce().classifier_score() == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_the_blocks_changes_no_bit(stream, seed):
    order = np.random.default_rng(seed).permutation(16).tolist()
    assert same_bits(add_blocks(accumulator(), stream, order).reduce(), add_blocks(accumulator(), stream).reduce())


@pytest.mark.parametrize("world_size", [2, 3, 20])
def test_any_number_of_accumulators_gives_the_same_bits(stream, world_size, monkeypatch):
    whole = add_blocks(accumulator(), stream).reduce()
    ranks = [add_blocks(accumulator(), stream, range(rank, 16, world_size)) for rank in range(world_size)]
    sums = {part: iter([sum(getattr(rank, part).sums for rank in ranks)]) for part in PARTS}
    order = iter(PARTS)
    monkeypatch.setattr(accumulators.distributed, "global_sum", lambda own: next(sums[next(order)]))
    assert same_bits(ranks[-1].reduce(), whole)


def test_a_block_can_be_added_in_pieces(stream):
    features, log_p = stream
    pieces = accumulator()
    for start in range(0, 64, 7):
        pieces.add(0, features[start : min(start + 7, 64)], log_p[start : min(start + 7, 64)])
    assert same_bits(pieces.reduce(), add_blocks(accumulator(), stream, [0]).reduce())


@pytest.mark.parametrize("default", [torch.float32, torch.float64])
def test_sums_are_float64_whatever_the_default_type(default, stream):
    expected = add_blocks(accumulator(), stream).reduce()
    torch.set_default_dtype(default)
    found = add_blocks(accumulator(), stream).reduce()
    assert all(part.dtype == torch.float64 for part in found.parts)
    assert same_bits(found, expected)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e5])
def test_features_that_cannot_be_summed_exactly_are_refused(stream, value):
    features = stream[0].clone()
    features[17, 3] = value
    with pytest.raises(UserError, match="features are too large or not finite"):
        add_blocks(accumulator(), (features, stream[1])).reduce()


def test_not_a_number_among_the_probabilities_is_refused(stream):
    log_p = stream[1].clone()
    log_p[17] = math.nan
    with pytest.raises(UserError, match=r"sum_p: .* not finite"):
        add_blocks(accumulator(), (stream[0], log_p)).reduce()


def test_a_probability_of_zero_counts_nothing(stream):
    features = stream[0][:10]
    sums = accumulator()
    sums.add(0, features, torch.eye(5).repeat(2, 1).log())
    assert sums.reduce().classifier_score() == pytest.approx(5)


def test_a_sum_is_exact_up_to_its_limit_and_refused_beyond():
    exact = FixedPointSum((), 0, CPU)
    for group, value in enumerate([2.0**52, 2.0**52 - 1]):
        exact.add(group, torch.tensor(value, dtype=torch.float64))
    assert int(exact.reduced("it").sum()) == 2**53 - 1
    exact.add(2, torch.tensor(1.0, dtype=torch.float64))
    with pytest.raises(UserError, match=r"^it: "):
        exact.reduced("it")


def test_values_that_cancel_do_not_hide_an_overflow():
    total = FixedPointSum((), 0, CPU)
    total.add(0, torch.tensor(2.0**53, dtype=torch.float64))
    total.add(1, torch.tensor(-(2.0**53), dtype=torch.float64))
    with pytest.raises(UserError, match="too large"):
        total.reduced("it")


@pytest.mark.parametrize("group", [0, 5, 9])
def test_leaving_out_a_group_is_as_if_its_blocks_had_never_come(stream, group):
    kept = [number for number in range(16) if number % NUM_GROUPS != group]
    expected = add_blocks(accumulator(), stream, kept).reduce()
    found = add_blocks(accumulator(), stream).reduce().without(group)
    assert found.count == expected.count
    assert torch.equal(found.gaussian().mean, expected.gaussian().mean)
    assert torch.equal(found.gaussian().covariance, expected.gaussian().covariance)
    assert found.classifier_score() == expected.classifier_score()


def test_the_jackknife_is_the_spread_of_the_recomputed_scores(stream):
    sums = add_blocks(accumulator(), stream).reduce()
    real = add_blocks(accumulator(), (torch.randn(500, 8), stream[1][:500])).reduce().gaussian()
    recomputed = []
    for group in range(NUM_GROUPS):
        kept = [number for number in range(16) if number % NUM_GROUPS != group]
        recomputed.append(frechet_distance(add_blocks(accumulator(), stream, kept).reduce().gaussian(), real))
    expected = math.sqrt(9) * np.std(recomputed)
    assert jackknife(lambda of: frechet_distance(of.gaussian(), real), sums)["uncertainty"] == pytest.approx(expected, rel=1e-9)


def test_the_jackknife_of_a_mean_over_equal_groups_is_its_standard_error():
    features = torch.randn(NUM_GROUPS * BLOCK, 8)
    sums = add_blocks(accumulator(), (features, torch.zeros(len(features), 5).log_softmax(1))).reduce()
    means = features[:, 0].view(NUM_GROUPS, BLOCK).mean(1)
    assert jackknife(lambda of: float(of.gaussian().mean[0]), sums)["uncertainty"] == pytest.approx(
        float(means.std()) / math.sqrt(10), rel=1e-3
    )


def test_groups_are_those_with_images(stream):
    sums = add_blocks(accumulator(), stream, [0, 3, 13]).reduce()
    assert (sums.groups(), sums.count) == ([0, 3], 3 * BLOCK)
    assert jackknife(FeatureSums.classifier_score, sums) == {}
