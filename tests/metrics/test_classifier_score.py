"""The classifier score at its two ends, and as the mean KL divergence that it is."""

import math

import pytest
import torch

from lightning_gen.metrics.classifier_score import classifier_score


def score(p):
    """The score of the predictions ``(N, K)``."""
    p = p.double()
    return classifier_score(len(p), p.sum(0), float(torch.special.xlogy(p, p).sum()))


@pytest.mark.parametrize("num_classes", [2, 10, 1000])
def test_certain_and_balanced_predictions_score_the_number_of_classes(num_classes):
    assert score(torch.eye(num_classes).repeat(3, 1)) == pytest.approx(num_classes, rel=1e-12)


@pytest.mark.parametrize("num_classes", [2, 10, 1000])
def test_uniform_predictions_score_one(num_classes):
    assert score(torch.full((7, num_classes), 1 / num_classes, dtype=torch.float64)) == pytest.approx(1, rel=1e-12)


def test_equal_predictions_score_one_whatever_they_are():
    assert score(torch.rand(1, 10).softmax(1).repeat(5, 1)) == pytest.approx(1, rel=1e-6)
    assert score(torch.eye(10)[[3] * 5]) == pytest.approx(1, rel=1e-12)


def test_certain_predictions_of_k_of_the_classes_score_k():
    assert score(torch.eye(10)[[0, 4, 7, 0, 4, 7]]) == pytest.approx(3, rel=1e-12)


def test_it_is_the_exponential_of_the_mean_kl_to_the_marginal():
    p = (3 * torch.randn(200, 10).double()).softmax(1)
    kl = (p * (p.log() - p.mean(0).log())).sum(1).mean()
    assert score(p) == pytest.approx(math.exp(kl), rel=1e-12)
    assert 1 < score(p) < 10
