"""The Fréchet distance where its value is known in closed form, and where it is computed another way."""

import numpy as np
import pytest
import torch

from lightning_gen.metrics.frechet import GaussianStatistics, frechet_distance, symmetric_root


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
