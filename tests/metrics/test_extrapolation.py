"""The extrapolation to infinitely many samples: exact on a line, and with an error bar that holds although the points share samples."""

import math

import numpy as np
import pytest
import torch

from lightning_gen.errors import UserError
from lightning_gen.metrics.extrapolation import fd_infinity, smallest_count
from lightning_gen.metrics.frechet import GaussianStatistics, frechet_distance


def test_points_on_a_line_in_one_over_n():
    counts = [100, 200, 400, 1000]
    fit = fd_infinity(counts, [3 + 50 / n for n in counts], 100)
    assert fit.value == pytest.approx(3, rel=1e-12)
    assert fit.slope == pytest.approx(50, rel=1e-12)
    assert fit.stderr is None


def test_it_is_the_least_squares_fit():
    counts, values = [100, 150, 400, 900], [5.0, 3.0, 2.5, 2.6]
    slope, value = np.polyfit(1 / np.array(counts), values, 1)
    fit = fd_infinity(counts, values, 1)
    assert (fit.value, fit.slope) == pytest.approx((value, slope), rel=1e-10)


def test_points_of_too_few_samples_are_left_out():
    counts, values = [10, 100, 200, 400], [99.0, 2.5, 2.25, 2.125]
    fit = fd_infinity(counts, values, 100)
    assert fit.counts == (100, 200, 400)
    assert fit.values == (2.5, 2.25, 2.125)
    assert fit.value == pytest.approx(2, rel=1e-10)
    assert fd_infinity(counts, values, 101) is None
    assert fd_infinity([], [], 1) is None


def test_the_smallest_count_grows_with_the_features():
    assert smallest_count(2048) == 4916
    assert smallest_count(32) == 77


def test_the_error_of_nested_means_is_exact():
    """Means of the first n of N independent numbers: their covariance is exactly the one assumed."""
    counts, sigma = [100, 250, 500, 1000], 2.0
    draws = np.cumsum(np.random.default_rng(0).normal(0, sigma, (5000, 1000)), 1)[:, np.array(counts) - 1] / counts
    fits = [fd_infinity(counts, row, 1, sigma / math.sqrt(1000)) for row in draws]
    assert np.std([fit.value for fit in fits]) == pytest.approx(fits[0].stderr, rel=0.05)
    assert fits[0].stderr > sigma / math.sqrt(1000)


def test_of_gaussians_the_value_and_its_error_bar_hold():
    d, counts, repeats = 6, [60, 120, 240, 480], 200
    reference = GaussianStatistics(10, torch.zeros(d, dtype=torch.float64), torch.eye(d, dtype=torch.float64))
    truth = d * 0.5**2
    curves = []
    for _ in range(repeats):
        x = 1.5 * torch.randn(counts[-1], d, dtype=torch.float64)
        curves.append([frechet_distance(GaussianStatistics.of_rows(x[:n]), reference) for n in counts])
    curves = np.array(curves)
    fits = [fd_infinity(counts, curve, smallest_count(d), curves[:, -1].std()) for curve in curves]
    found = np.array([fit.value for fit in fits])
    assert found.std() == pytest.approx(fits[0].stderr, rel=0.25)
    assert abs(found.mean() - truth) < 3 * found.std() / math.sqrt(repeats)
    assert curves[:, -1].mean() - truth > 3 * curves[:, -1].std() / math.sqrt(repeats)


def test_what_is_no_curve_is_refused_in_one_line():
    with pytest.raises(UserError, match=r"expected 3 growing numbers of samples, got \[10, 10, 20\]"):
        fd_infinity([10, 10, 20], [1, 1, 1], 1)
    with pytest.raises(UserError, match="expected 2 growing"):
        fd_infinity([10, 20, 30], [1, 1], 1)
    with pytest.raises(UserError, match="growing"):
        fd_infinity([0, 20, 30], [1, 1, 1], 1)
    with pytest.raises(UserError, match="values: expected finite distances"):
        fd_infinity([10, 20, 30], [1, float("nan"), 1], 1)
