"""Equal models are hardly ever told apart, different ones are, and what nothing is known of is not."""

import math
import sys

import numpy as np
import pytest
import torch

from lightning_gen.errors import UserError
from lightning_gen.evaluation.comparison import jackknife
from lightning_gen.leaderboard import significance
from lightning_gen.leaderboard.record import Score
from lightning_gen.leaderboard.significance import LEVEL, bootstrap_means, compare, compare_resampled, compare_seeds, resample
from lightning_gen.metrics.accumulators import GroupSums
from lightning_gen.metrics.frechet import frechet_distance

PROTOCOL = {"dataset": "digits", "split": "test"}
MOST_FALSE = 0.05


def score(value, uncertainty=None, kind=None, better="lower", protocol=PROTOCOL):
    return Score(name="FD", value=float(value), better=better, protocol=protocol, uncertainty=uncertainty, uncertainty_kind=kind)


def likelihoods(log_probs):
    """A score with the values behind it."""
    return score(-log_probs.mean()), log_probs


def told(a, b):
    """Whether the likelihoods are told apart."""
    (score_a, values_a), (score_b, values_b) = likelihoods(a), likelihoods(b)
    return compare(score_a, score_b, values_a, values_b).better is not None


@pytest.mark.parametrize(("images", "trials"), [(2, 200), (5, 200), (50, 200), (400, 60)])
def test_the_bound_of_one_model_under_two_seeds_of_noise_is_hardly_ever_told_apart(images, trials):
    """The noise of a k-sample bound is skewed; the images differ far more than the seeds do."""
    generator = np.random.default_rng(0)
    exact = -generator.normal(80, 20, images)
    false = sum(told(*(exact + np.log(generator.gamma(0.5, size=images)) for _ in range(2))) for _ in range(trials))
    assert false <= MOST_FALSE * trials


def test_the_distance_of_one_generator_under_two_seeds_of_noise_is_hardly_ever_told_apart():
    """With the jackknife that evaluation records, over features of samples of one distribution."""
    generator = torch.Generator().manual_seed(0)
    mixing = torch.randn(8, 8, generator=generator)
    real = GroupSums(torch.randn(400, 8, generator=generator).numpy(), "real", "fast").gaussian()

    def evaluated():
        features = torch.randn(500, 8, generator=generator) @ mixing
        sums = GroupSums(features.numpy(), "samples", "fast")
        error = jackknife(lambda left_out: frechet_distance(sums.gaussian({*sums.groups} - {left_out}), real), sums)
        return score(frechet_distance(sums.gaussian(), real), error["uncertainty"], error["uncertainty_kind"])

    trials = 60
    assert sum(compare(evaluated(), evaluated()).better is not None for _ in range(trials)) <= MOST_FALSE * trials


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_one_recipe_under_two_sets_of_seeds_is_hardly_ever_told_apart(seeds):
    generator = np.random.default_rng(0)
    trials = 500
    draws = ([score(value) for value in generator.normal(size=seeds)] for _ in range(2 * trials))
    assert sum(compare_seeds(next(draws), next(draws)).better is not None for _ in range(trials)) <= MOST_FALSE * trials


def test_a_small_difference_is_seen_image_by_image_that_the_two_errors_hide():
    generator = np.random.default_rng(0)
    a = -generator.normal(80, 20, 400)
    b = a - 0.1 + generator.normal(0, 0.3, 400)
    (score_a, values_a), (score_b, values_b) = likelihoods(a), likelihoods(b)
    verdict = compare(score_a, score_b, values_a, values_b)
    assert verdict.better == "A"
    assert verdict.interval[0] < score_a.value - score_b.value < verdict.interval[1] < 0
    assert verdict.method == "paired bootstrap over 400 images"
    errors = [score(-values.mean(), values.std() / 20, "standard error over images") for values in (a, b)]
    assert compare(*errors).better is None


def test_the_interval_is_in_the_unit_of_the_scores():
    nats = -np.random.default_rng(0).normal(80, 20, 400)
    bits = [score(-values.mean() / 64) for values in (nats, nats - 2)]
    assert compare(*bits, nats, nats - 2).interval == pytest.approx((-2 / 64, -2 / 64), rel=1e-9)


def test_the_same_results_cannot_be_told_apart():
    values = -np.random.default_rng(0).normal(80, 20, 50)
    assert not told(values, values)
    assert compare(score(1.0, 0.0, "standard error"), score(1.0, 0.0, "standard error")).better is None


def test_equal_likelihoods_are_one_column_among_however_many(monkeypatch):
    """A product of matrices may round equal columns differently, which every draw of the bootstrap would see."""
    shapes = []
    monkeypatch.setattr(significance, "bootstrap_means", lambda values: shapes.append(values.shape) or bootstrap_means(values))
    base = -np.random.default_rng(0).normal(80, 20, 333)
    values = [base, *(base - np.random.default_rng(number).normal(0, 1, 333) for number in range(7)), base]
    drawn = resample([score(-each.mean()) for each in values], values)
    assert shapes == [(333, 8)]
    assert (drawn[0].means == drawn[-1].means).all()


def test_losses_whose_draws_overflow_have_no_interval():
    values = np.array([-1e308, -1.0, -2.0])
    assert compare(score(1e308 / 3), score(2.0), values, values + 0.5).interval is None


def test_a_likelihood_drawn_beside_others_is_compared_as_alone():
    values = [-np.random.default_rng(number).normal(80, 20, 300) for number in range(6)]
    scores = [score(-each.mean()) for each in values]
    among = resample(scores, values)
    alone = compare(scores[1], scores[4], values[1], values[4])
    assert compare_resampled(scores[1], scores[4], among[1], among[4]).interval == pytest.approx(alone.interval, rel=1e-9)


@pytest.mark.parametrize(("better", "winner"), [("lower", "B"), ("higher", "A")])
def test_which_way_is_better_is_the_scores(better, winner):
    assert compare(score(2.0, 0.1, "s", better), score(1.0, 0.1, "s", better)).better == winner
    assert (
        compare_seeds([score(v, better=better) for v in (2.0, 2.1, 1.9)], [score(v, better=better) for v in (1.0, 1.1, 0.9)]).better
        == winner
    )


def test_few_groups_widen_the_interval_as_students_distribution_says():
    (narrow, wide) = (
        compare(score(2.0, 1.0, kind), score(1.0, 1.0, kind)).interval for kind in ("closed form", "jackknife over 3 groups of")
    )
    assert narrow[1] - 1 == pytest.approx(2.5758 * math.sqrt(2), rel=1e-4)
    assert wide[1] - 1 == pytest.approx(4.6041 * math.sqrt(2), rel=1e-4)  # 4 degrees of freedom


@pytest.mark.parametrize("uncertainty", [None, math.nan, math.inf])
def test_without_an_uncertainty_it_cannot_be_told(uncertainty):
    verdict = compare(score(1.0, uncertainty), score(1000.0, 0.1))
    assert (verdict.better, verdict.interval) == (None, None)
    assert verdict.in_words() == "FD: cannot tell, 1 against 1000 (no uncertainty was recorded)"


def test_values_that_are_not_finite_are_not_told_apart():
    values = np.array([-1.0, -2.0, -math.inf])
    assert compare(score(math.inf), score(2.0), values, values).better is None
    assert compare_seeds([score(math.inf), score(1.0)], [score(1.0), score(2.0)]).better is None


@pytest.mark.parametrize("error", [1e100, 1e200, 1.7e308])
def test_an_error_that_a_float_hardly_holds_tells_nothing_and_stops_nothing(error):
    """A forged record may state any."""
    assert compare(score(1.0, error, "s"), score(2.0, error, "jackknife over 10 groups")).better is None
    assert compare(score(1.7e308, error, "s"), score(-1.7e308, error, "s")).better is None
    for seeds in ([error, -error, 1.0], [1.0, math.inf, -math.inf]):
        assert compare_seeds([score(value) for value in seeds], [score(1.0), score(2.0)]).better is None


def test_other_questions_are_refused_by_what_differs():
    with pytest.raises(UserError, match=r"FD: not the same question \(num_samples 10 and 20\)"):
        compare(score(1.0, protocol=PROTOCOL | {"num_samples": 10}), score(1.0, protocol=PROTOCOL | {"num_samples": 20}))
    with pytest.raises(UserError, match="at least 2 seeds of each, got 3 and 1"):
        compare_seeds([score(1.0)] * 3, [score(1.0)])


def test_the_answer_is_the_same_every_time_and_of_every_size():
    values = np.random.default_rng(0).normal(size=3000)
    means = bootstrap_means(values)
    assert (means == bootstrap_means(values)).all()
    assert means.std() == pytest.approx(values.std() / math.sqrt(3000), rel=0.05)
    assert LEVEL >= 1 - MOST_FALSE / 5


def test_the_words_give_the_interval():
    words = compare(score(1.0, 0.1, "closed form"), score(2.0, 0.1, "closed form")).in_words()
    assert words == "FD: A is better, 1 against 2: -1 [-1.36, -0.636] (closed form)"


def test_numpy_is_loaded_only_by_a_comparison():
    assert "numpy" not in vars(sys.modules["lightning_gen.leaderboard.significance"])
