"""The Fréchet distance where its value is known in closed form, and where it is computed another way."""

import dataclasses
import itertools

import mpmath
import numpy as np
import pytest
import torch
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

from lightning_gen.errors import UserError
from lightning_gen.metrics.frechet import GaussianStatistics, debiased_distance, frechet_distance, symmetric_root


@pytest.fixture(autouse=True)
def _float64(float64):
    """Statistics are float64."""


def statistics(mean, covariance):
    return GaussianStatistics(100, torch.as_tensor(mean, dtype=torch.float64), torch.as_tensor(covariance, dtype=torch.float64))


def orthogonal(d):
    return torch.linalg.qr(torch.randn(d, d))[0]


def random_covariance(d, rank=None):
    factor = torch.randn(d, rank or 2 * d)
    return factor @ factor.T / factor.shape[1]


def of_features(features):
    return statistics(features.mean(0), np.cov(features.numpy(), rowvar=False))


def by_nuclear_norm(x, y):
    """The trace term as the nuclear norm of the product of the two centred feature matrices: no root, exact also for N < d."""
    centred = [(rows - rows.mean(0)) / (len(rows) - 1) ** 0.5 for rows in (x, y)]
    traces = sum(rows.square().sum() for rows in centred)
    return float((x.mean(0) - y.mean(0)).square().sum() + traces - 2 * torch.linalg.svdvals(centred[0] @ centred[1].T).sum())


def test_one_dimension_is_the_distance_of_means_and_scales():
    assert frechet_distance(statistics([1.0], [[4.0]]), statistics([3.0], [[25.0]])) == pytest.approx(4 + 9, rel=1e-14)


def test_only_the_means_differ():
    covariance = random_covariance(6)
    mean = torch.randn(6)
    distance = frechet_distance(statistics(torch.zeros(6), covariance), statistics(mean, covariance))
    assert distance == pytest.approx(float(mean.square().sum()), rel=1e-12)


@pytest.mark.parametrize("d", [1, 5, 32])
def test_commuting_covariances(d):
    q, a, b = orthogonal(d), torch.rand(d) + 0.1, torch.rand(d) + 0.1
    x, y = (statistics(torch.randn(d), q @ torch.diag(values) @ q.T) for values in (a, b))
    expected = (x.mean - y.mean).square().sum() + (a.sqrt() - b.sqrt()).square().sum()
    assert frechet_distance(x, y) == pytest.approx(float(expected), rel=1e-10)


def test_singular_commuting_covariances_with_disjoint_supports():
    q = orthogonal(20)
    a, b = torch.zeros(20), torch.zeros(20)
    a[:8], b[5:12] = torch.rand(8) + 0.5, torch.rand(7) + 0.5
    x, y = (statistics(torch.zeros(20), q @ torch.diag(values) @ q.T) for values in (a, b))
    assert frechet_distance(x, y) == pytest.approx(float((a.sqrt() - b.sqrt()).square().sum()), rel=1e-6)


@pytest.mark.parametrize(("rows", "others"), [(500, 400), (10, 400), (10, 12), (2, 2)])
def test_of_features_it_is_the_nuclear_norm_formula_also_with_fewer_rows_than_dimensions(rows, others):
    x, y = torch.randn(rows, 24) * torch.linspace(0.1, 3, 24), torch.randn(others, 24) + 0.3
    assert frechet_distance(of_features(x), of_features(y)) == pytest.approx(by_nuclear_norm(x, y), rel=1e-6)


@pytest.mark.parametrize("rank", [64, 8, 1])
def test_identical_is_zero(rank):
    same = statistics(torch.randn(32), random_covariance(32, rank))
    assert frechet_distance(same, same) == pytest.approx(0, abs=1e-6 * float(same.covariance.trace()))


@pytest.mark.parametrize("rank", [64, 8])
def test_it_is_symmetric_and_does_not_depend_on_the_basis(rank):
    x, y = (statistics(torch.randn(32), random_covariance(32, rank)) for _ in range(2))
    distance = frechet_distance(x, y)
    assert frechet_distance(y, x) == pytest.approx(distance, rel=1e-6)
    q = orthogonal(32)
    rotated = [statistics(q @ z.mean, q @ z.covariance @ q.T) for z in (x, y)]
    assert frechet_distance(*rotated) == pytest.approx(distance, rel=1e-6)


def test_the_count_does_not_enter():
    covariance = random_covariance(4)
    one, other = (GaussianStatistics(count, torch.zeros(4), covariance) for count in (5, 500))
    assert frechet_distance(one, statistics(torch.ones(4), covariance)) == frechet_distance(other, statistics(torch.ones(4), covariance))


@pytest.mark.parametrize("rank", [16, 3])
def test_the_root_squared_is_the_matrix(rank):
    matrix = random_covariance(8, rank)
    root = symmetric_root(matrix)
    torch.testing.assert_close(root @ root, matrix, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(root, root.T, rtol=1e-10, atol=1e-12)
    assert torch.linalg.eigvalsh(root).min() > -1e-12


def with_covariance(rows):
    """Statistics that hold the covariance, however few the rows are."""
    of_rows = GaussianStatistics.of_rows(rows)
    return GaussianStatistics(of_rows.count, of_rows.mean, of_rows.covariance_matrix())


def in_fifty_digits(x, y):
    """The distance of the features as they stand, from the eigenvalues of an N x N matrix in exact enough arithmetic."""
    with mpmath.workdps(50):
        factors, means = [], []
        for rows in (x, y):
            matrix = mpmath.matrix(rows.tolist())
            means.append([mpmath.fsum(matrix[:, j]) / len(rows) for j in range(matrix.cols)])
            centred = mpmath.matrix(matrix.rows, matrix.cols)
            for i, j in itertools.product(range(matrix.rows), range(matrix.cols)):
                centred[i, j] = (matrix[i, j] - means[-1][j]) / mpmath.sqrt(len(rows) - 1)
            factors.append(centred)
        cross = factors[0] * factors[1].T
        eigenvalues = mpmath.eigsy(cross * cross.T, eigvals_only=True)
        traces = mpmath.fsum(value**2 for factor in factors for value in factor)
        shift = mpmath.fsum((a - b) ** 2 for a, b in zip(*means, strict=True))
        return float(shift + traces - 2 * mpmath.fsum(mpmath.sqrt(max(value, 0)) for value in eigenvalues))


@pytest.mark.parametrize(("rows", "others", "d"), [(8, 9, 40), (12, 12, 12), (5, 20, 16), (20, 6, 16), (15, 18, 12)])
def test_every_route_agrees_with_fifty_digits_also_where_covariances_are_singular(rows, others, d):
    x, y = torch.randn(rows, d) * torch.logspace(0, -3, d), torch.randn(others, d) * torch.logspace(-0.5, -2, d) + 0.1
    expected = in_fifty_digits(x, y)
    for kind, other_kind in itertools.product((GaussianStatistics.of_rows, with_covariance), repeat=2):
        assert frechet_distance(kind(x), other_kind(y)) == pytest.approx(expected, rel=3e-7)
        assert frechet_distance(kind(x), other_kind(y), exact=True) == pytest.approx(expected, rel=1e-10)


def test_the_exact_route_keeps_the_digits_that_the_default_loses_when_a_matrix_is_nearly_singular():
    x, y = (torch.randn(count, 12) * torch.logspace(0, -6, 12) for count in (16, 15))
    expected = in_fifty_digits(x, y)
    assert frechet_distance(with_covariance(x), with_covariance(y), exact=True) == pytest.approx(expected, rel=1e-11)


@pytest.mark.parametrize("rows", [270, 700])
def test_matrices_larger_than_a_block(rows):
    x, y = torch.randn(rows, 300) * torch.linspace(0.1, 2, 300), statistics(torch.zeros(300), random_covariance(300))
    of_x = GaussianStatistics.of_rows(x)
    torch.testing.assert_close(of_x.covariance_matrix(), torch.cov(x.T), rtol=1e-10, atol=1e-12)
    assert frechet_distance(of_x, y) == pytest.approx(frechet_distance(of_x, y, exact=True), rel=1e-9)
    torch.testing.assert_close(y.symmetric_root() @ y.symmetric_root(), y.covariance, rtol=1e-10, atol=1e-12)


def test_statistics_keep_the_rows_as_long_as_they_are_no_more_than_the_features():
    rows = torch.randn(9, 8)
    few, many = GaussianStatistics.of_rows(rows[:8]), GaussianStatistics.of_rows(rows)
    assert few.rows is not None
    assert few.covariance is None
    assert many.rows is None
    for statistics_of, part in ((few, rows[:8]), (many, rows)):
        torch.testing.assert_close(statistics_of.covariance_matrix(), torch.cov(part.T), rtol=1e-12, atol=1e-14)
        torch.testing.assert_close(statistics_of.trace, torch.cov(part.T).trace(), rtol=1e-12, atol=0)


def test_float32_features_are_computed_with_in_float64():
    rows = torch.randn(6, 8).float() + 100
    expected = frechet_distance(GaussianStatistics.of_rows(rows.double()), statistics(torch.zeros(8), torch.eye(8)))
    assert frechet_distance(GaussianStatistics.of_rows(rows), statistics(torch.zeros(8), torch.eye(8))) == expected


def test_the_root_is_computed_once_and_a_known_one_is_used(monkeypatch):
    x, y = (statistics(torch.randn(6), random_covariance(6)) for _ in range(2))
    expected = frechet_distance(x, y)
    assert y.symmetric_root() is y.symmetric_root()
    known = dataclasses.replace(y, root=y.symmetric_root())
    monkeypatch.setattr("lightning_gen.metrics.frechet.symmetric_root", None)
    assert frechet_distance(x, known) == expected
    assert frechet_distance(known, statistics(x.mean, x.covariance)) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("count", [5, 50])
def test_the_root_stands_for_the_covariance(count, exact):
    x, y = GaussianStatistics.of_rows(torch.randn(count, 8)), statistics(torch.randn(8), random_covariance(8))
    only_root = GaussianStatistics(100, y.mean, root=y.symmetric_root())
    torch.testing.assert_close(only_root.covariance_matrix(), y.covariance, rtol=1e-10, atol=1e-12)
    assert only_root.trace == pytest.approx(float(y.trace), rel=1e-12)
    expected = frechet_distance(x, y, exact)
    assert frechet_distance(x, only_root, exact) == pytest.approx(expected, rel=1e-8)
    assert frechet_distance(only_root, x, exact) == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize(("rows", "others", "rel"), [(300, 200, 1e-6), (300, 16, 1e-4), (10, 12, 1e-4)])
def test_it_equals_torch_fidelitys(rows, others, rel):
    x, y = torch.randn(rows, 24) * torch.linspace(0.1, 2, 24), torch.randn(others, 24) * 0.7 + 0.2
    theirs = fid_statistics_to_metric(fid_features_to_statistics(x), fid_features_to_statistics(y), verbose=False)
    ours = [frechet_distance(GaussianStatistics.of_rows(x), GaussianStatistics.of_rows(y), exact) for exact in (False, True)]
    assert ours[0] == pytest.approx(theirs["frechet_inception_distance"], rel=rel)
    assert ours[0] == pytest.approx(ours[1], rel=1e-9)


@pytest.mark.parametrize("few", [True, False])
def test_the_debiased_distance_of_few_samples_is_nearer_to_the_truth(few):
    d, count, scale = (64, 48, 1.3) if few else (8, 48, 1.3)
    spectrum = torch.logspace(0, -3, d)
    reference = statistics(torch.zeros(d), torch.diag(spectrum))
    truth = (scale - 1) ** 2 * float(spectrum.sum())
    samples = [scale * torch.randn(count, d) * spectrum.sqrt() for _ in range(60)]
    plain = np.mean([frechet_distance(GaussianStatistics.of_rows(x), reference) for x in samples])
    debiased = np.mean([debiased_distance(x, reference) for x in samples])
    assert plain > truth
    assert abs(debiased - truth) < 0.35 * (plain - truth)


@pytest.mark.parametrize("order", ["in turn", "sorted"])
def test_the_debiased_distance_does_not_see_how_the_classes_are_ordered(order):
    """Ten far classes: halves of even and odd samples, or of first and last ones, would each lack five of them."""
    centres = 10 * torch.randn(10, 16)
    labels = torch.arange(400) % 10 if order == "in turn" else torch.arange(400) // 40
    real, x = (centres[torch.arange(4000) % 10] + torch.randn(4000, 16), centres[labels] + torch.randn(400, 16))
    reference = GaussianStatistics.of_rows(real)
    assert abs(debiased_distance(x, reference)) < 0.2 * frechet_distance(GaussianStatistics.of_rows(x[labels % 2 == 0]), reference)
    assert debiased_distance(x, reference) == debiased_distance(x, reference)


def test_what_cannot_be_compared_is_refused_in_one_line():
    good = statistics(torch.zeros(3), torch.eye(3))
    spoilt = torch.eye(3)
    spoilt[2, 0] = spoilt[0, 2] = float("nan")
    with pytest.raises(UserError, match="samples: the feature statistics are not finite"):
        frechet_distance(statistics(torch.zeros(3), spoilt), good)
    with pytest.raises(UserError, match="reference: the feature statistics are not finite"):
        frechet_distance(good, GaussianStatistics.of_rows(torch.full((2, 3), float("inf"))))
    with pytest.raises(UserError, match="reference: the feature statistics are not finite"):
        frechet_distance(good, GaussianStatistics(5, torch.zeros(3), root=spoilt))
    with pytest.raises(UserError, match="samples: have 3 features, the reference has 4"):
        frechet_distance(good, statistics(torch.zeros(4), torch.eye(4)))
    with pytest.raises(UserError, match="expected a covariance, its root, or rows"):
        GaussianStatistics(5, torch.zeros(3))
    with pytest.raises(UserError, match=r"covariance has the shape \[2, 2\], expected \[3, 3\]"):
        GaussianStatistics(5, torch.zeros(3), torch.eye(2))
    with pytest.raises(UserError, match="at least 2 feature vectors, got 1"):
        GaussianStatistics.of_rows(torch.zeros(1, 3))
    with pytest.raises(UserError, match="at least 4 feature vectors"):
        debiased_distance(torch.zeros(3, 3), good)
