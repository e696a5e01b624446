"""The area under the ROC curve is a probability over pairs, and its standard error is that of an average over images."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from lightning_gen.analysis.roc import auroc, difference_error, standard_error


def by_pairs(normal, anomalous):
    return np.mean([(a > n) + 0.5 * (a == n) for n in normal for a in anomalous])


@pytest.mark.parametrize("values", [3, 1000], ids=["many ties", "few ties"])
def test_it_is_the_share_of_pairs_in_the_right_order(values):
    random = np.random.default_rng(values)
    normal, anomalous = random.integers(values, size=37), random.integers(values, size=23) + values // 3
    expected = roc_auc_score([0] * 37 + [1] * 23, [*normal, *anomalous])
    assert auroc(normal, anomalous) == pytest.approx(by_pairs(normal, anomalous), abs=1e-14)
    assert auroc(normal, anomalous) == pytest.approx(expected, abs=1e-14)


def test_separate_equal_and_exchanged_scores():
    low, high = np.arange(5.0), np.arange(7.0) + 10
    assert (auroc(low, high), auroc(high, low), auroc(low * 0, high * 0)) == (1, 0, 0.5)


def test_only_the_order_of_scores_matters():
    random = np.random.default_rng(0)
    normal, anomalous = random.standard_normal(50), random.standard_normal(60) + 1
    assert auroc(np.exp(normal), np.exp(anomalous)) == auroc(normal, anomalous)
    assert standard_error(np.exp(normal), np.exp(anomalous)) == standard_error(normal, anomalous)


def test_the_standard_error_is_the_spread_over_data_sets():
    random = np.random.default_rng(0)
    draws = [(random.standard_normal(80), random.standard_normal(120) + 1) for _ in range(800)]
    spread = np.std([auroc(*draw) for draw in draws])
    said = np.mean([standard_error(*draw) for draw in draws])
    assert said == pytest.approx(spread, rel=5 / np.sqrt(2 * 800))  # five standard errors of a standard deviation


def test_the_error_of_a_difference_knows_that_both_scores_are_of_the_same_images():
    random = np.random.default_rng(0)
    differences, said = [], []
    for _ in range(800):
        normal, anomalous = random.standard_normal(80), random.standard_normal(120) + 1
        other = normal + 0.3 * random.standard_normal(80), anomalous + 0.3 * random.standard_normal(120)
        differences.append(auroc(normal, anomalous) - auroc(*other))
        said.append(difference_error((normal, anomalous), other))
    assert np.mean(said) == pytest.approx(np.std(differences), rel=5 / np.sqrt(2 * 800))
    assert difference_error((normal, anomalous), (normal, anomalous)) == 0
