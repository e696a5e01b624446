"""The Inception Score at its two ends, against torch-fidelity, and its sums in any order."""

import math

import numpy as np
import pytest
import torch
from torch_fidelity.metric_isc import isc_features_to_metric

from lightning_gen.errors import UserError
from lightning_gen.metrics.accumulators import group_of
from lightning_gen.metrics.classifier_score import grouped_classifier_score, probability_sums
from lightning_gen.metrics.inception_score import inception_score, numpy_permutation


class Counted:
    """A table that counts the rows it hands out, and the most at once."""

    def __init__(self, rows):
        self.rows, self.shape, self.read, self.largest = rows, rows.shape, 0, 0

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, key):
        part = self.rows[key]
        self.read += len(part)
        self.largest = max(self.largest, len(part))
        return part


def random_logits(count, num_classes, scale=2.0):
    return (torch.randn(count, num_classes) * scale + torch.randn(num_classes) * scale).numpy()


def certain(classes, num_classes):
    return np.where(np.eye(num_classes, dtype=bool)[classes], np.float32(0), np.float32(-200))


@pytest.mark.parametrize("arithmetic", ["fast", "reference"])
@pytest.mark.parametrize(("count", "num_classes", "scale"), [(1003, 10, 2.0), (10, 10, 1.0), (2000, 1008, 1.0), (999, 1008, 6.0)])
def test_it_equals_torch_fidelitys(count, num_classes, scale, arithmetic):
    logits = random_logits(count, num_classes, scale)
    theirs = isc_features_to_metric(torch.from_numpy(logits))
    ours = inception_score(logits, arithmetic=arithmetic)
    assert ours.mean == pytest.approx(theirs["inception_score_mean"], rel=1e-9)
    assert ours.std == pytest.approx(theirs["inception_score_std"], abs=1e-9 * ours.mean)


@pytest.mark.parametrize(("splits", "seed"), [(1, 2020), (7, 5)])
def test_splits_and_seed_are_torch_fidelitys_too(splits, seed):
    logits = random_logits(300, 10)
    theirs = isc_features_to_metric(torch.from_numpy(logits), splits, True, seed)
    ours = inception_score(logits, splits, seed)
    assert [ours.mean, ours.std] == pytest.approx(list(theirs.values()), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("num_classes", [2, 10, 1008])
def test_certain_and_balanced_predictions_score_the_number_of_classes(num_classes):
    balanced = certain(np.arange(4 * num_classes) % num_classes, num_classes)
    score = inception_score(balanced, splits=1)
    assert score.mean == pytest.approx(num_classes, rel=1e-9)
    assert score.marginal_entropy == pytest.approx(math.log(num_classes), rel=1e-9)
    assert score.conditional_entropy == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("num_classes", [2, 10, 1008])
def test_uniform_predictions_score_one(num_classes):
    score = inception_score(np.full((40, num_classes), 3, np.float32))
    assert [score.mean, score.std, score.seed_spread] == pytest.approx([1, 0, 0], abs=1e-9)
    assert score.marginal_entropy == pytest.approx(score.conditional_entropy, abs=1e-9)


def test_the_score_in_one_split_is_the_exponential_of_the_difference_of_its_entropies():
    logits = random_logits(500, 10)
    whole, split = inception_score(logits, splits=1), inception_score(logits, splits=10)
    assert whole.mean == pytest.approx(math.exp(whole.marginal_entropy - whole.conditional_entropy), rel=1e-12)
    assert split.marginal_entropy == pytest.approx(whole.marginal_entropy, rel=1e-9)
    assert split.conditional_entropy == pytest.approx(whole.conditional_entropy, rel=1e-9)
    p = torch.from_numpy(logits).double().softmax(1)
    assert whole.marginal_entropy == pytest.approx(float(torch.special.entr(p.mean(0)).sum()), rel=1e-9)
    assert whole.conditional_entropy == pytest.approx(float(torch.special.entr(p).sum(1).mean()), rel=1e-9)


def test_the_spread_over_seeds_is_that_of_the_mean_and_not_the_std_over_splits():
    logits = random_logits(400, 10)
    means = [isc_features_to_metric(torch.from_numpy(logits), rng_seed=2020 + i)["inception_score_mean"] for i in range(4)]
    assert inception_score(logits, extra_seeds=3).seed_spread == pytest.approx(np.std(means, ddof=1), rel=1e-7)
    assert inception_score(logits, extra_seeds=0).seed_spread is None


def test_logits_are_read_once_in_small_blocks():
    table = Counted(random_logits(3000, 12))
    inception_score(table)
    assert table.read == 3000
    assert table.largest <= 512


def test_fixed_point_sums_do_not_depend_on_the_order_and_plain_ones_do():
    logits = random_logits(3000, 20)
    order = np.random.default_rng(0).permutation(3000)
    groups = np.arange(3000) % 4
    for arithmetic in ("fast", "reference"):
        sums, shuffled = (probability_sums(x, [g], 4, arithmetic) for x, g in ((logits, groups), (logits[order], groups[order])))
        same = all(torch.equal(a, b) for a, b in zip(sums, shuffled, strict=True))
        assert same == (arithmetic == "fast")


def test_several_groupings_in_one_pass_are_those_one_by_one():
    logits = random_logits(700, 5)
    groupings = [np.arange(700) % 3, numpy_permutation(0, 700) % 3]
    together = probability_sums(logits, groupings, 3, "fast")
    for number, groups in enumerate(groupings):
        for both, one in zip(together, probability_sums(logits, [groups], 3, "fast"), strict=True):
            assert torch.equal(both[number], one[0])
    p = torch.from_numpy(logits).double().softmax(1)
    torch.testing.assert_close(together[0][0, 1], p[1::3].sum(0), rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(together[1][0, 1], torch.special.xlogy(p, p)[1::3].sum(), rtol=1e-10, atol=1e-10)


def test_the_classifier_score_is_the_score_in_one_split_with_a_jackknife_over_groups():
    logits = random_logits(1500, 10)
    result = grouped_classifier_score(logits)
    whole = inception_score(logits, splits=1)
    assert result.score == pytest.approx(whole.mean, rel=1e-9)
    assert result.marginal_entropy == pytest.approx(whole.marginal_entropy, rel=1e-9)
    assert result.conditional_entropy == pytest.approx(whole.conditional_entropy, rel=1e-9)
    groups = group_of(1500)
    left = np.array([inception_score(logits[groups != group], splits=1).mean for group in range(10)])
    assert result.stderr == pytest.approx(math.sqrt(9 / 10 * ((left - left.mean()) ** 2).sum()), rel=1e-6)


def test_the_jackknife_is_about_the_spread_over_new_samples():
    weights = torch.randn(6, 10)
    results = [grouped_classifier_score((torch.randn(640, 6) @ weights).numpy()) for _ in range(60)]
    ratio = np.mean([result.stderr for result in results]) / np.std([result.score for result in results], ddof=1)
    assert 0.7 < ratio < 1.4


def test_two_groups_have_no_error_bar():
    assert grouped_classifier_score(random_logits(2, 10)).stderr is None
    assert grouped_classifier_score(random_logits(3, 10)).stderr is not None


def test_bad_logits_are_refused_in_one_line():
    with pytest.raises(UserError, match="logits in 10 splits: expected at least 10 rows, got 9"):
        inception_score(random_logits(9, 10))
    with pytest.raises(UserError, match="splits: expected at least 1, got 0"):
        inception_score(random_logits(9, 10), splits=0)
    spoilt = random_logits(600, 10)
    spoilt[520, 3] = np.nan
    with pytest.raises(UserError, match="logits: not finite in rows 512 to 599"):
        inception_score(spoilt)
    with pytest.raises(UserError, match="not finite"):
        grouped_classifier_score(spoilt)
