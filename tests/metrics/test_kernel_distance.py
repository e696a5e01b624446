"""The kernel distance against torch-fidelity, without bias, and with the variance that it has."""

import itertools

import numpy as np
import pytest
import torch
from torch_fidelity.metric_kid import kid_features_to_metric

from lightning_gen.errors import UserError
from lightning_gen.metrics.kernel_distance import kernel_distance, mmd_u_statistic
from lightning_gen.metrics.kernel_variance import Thinned


def features(count, d=16, scale=1.0, shift=0.0):
    return (torch.randn(count, d) * scale + shift).abs().numpy()


def theirs(x, y, **options):
    values = kid_features_to_metric(torch.from_numpy(x), torch.from_numpy(y), verbose=False, **options)
    return values["kernel_inception_distance_mean"], values["kernel_inception_distance_std"]


@pytest.mark.parametrize("d", [16, 512])
def test_it_equals_torch_fidelitys(d):
    x, y = features(260, d, 1.1), features(300, d)
    ours = kernel_distance(x, y, subsets=20, subset_size=200)
    assert (ours.mean, ours.std) == pytest.approx(theirs(x, y, kid_subsets=20, kid_subset_size=200), abs=1e-6)
    assert ours.subset_size == 200
    other_seed = kernel_distance(x, y, subsets=20, subset_size=200, seed=7)
    assert (other_seed.mean, other_seed.std) == pytest.approx(theirs(x, y, kid_subsets=20, kid_subset_size=200, rng_seed=7), abs=1e-6)


@pytest.mark.slow
def test_the_protocol_equals_torch_fidelitys():
    x, y = features(1200, 2048, 1.02), features(1500, 2048)
    ours = kernel_distance(x, y)
    assert (ours.mean, ours.std) == pytest.approx(theirs(x, y), abs=1e-6)


def test_a_smaller_set_sets_the_size_of_the_subsets():
    x, y = features(120), features(90, shift=0.2)
    ours = kernel_distance(x, y, subsets=5)
    assert ours.subset_size == 90
    assert (ours.mean, ours.std) == pytest.approx(theirs(x, y, kid_subsets=5, kid_subset_size=90), abs=1e-6)


def by_the_definition(x, y):
    """The U-statistic with every pair written out."""

    def kernel(a, b):
        return (a.astype(np.float64) @ b.astype(np.float64) / len(a) + 1) ** 3

    xx = np.mean([kernel(a, b) for a, b in itertools.permutations(x, 2)])
    yy = np.mean([kernel(a, b) for a, b in itertools.permutations(y, 2)])
    return xx + yy - 2 * np.mean([kernel(a, b) for a, b in itertools.product(x, y)])


def test_the_u_statistic_is_the_mean_over_all_pairs_of_different_images():
    x, y = features(9, 3), features(7, 3, 1.3)
    assert mmd_u_statistic(x, y)[0] == pytest.approx(by_the_definition(x, y), rel=1e-5)


def test_blocks_do_not_show(monkeypatch):
    x, y = features(50), features(37, scale=1.2)
    whole = mmd_u_statistic(x, y)
    monkeypatch.setattr("lightning_gen.metrics.kernel_variance.ROWS_PER_BLOCK", 8)
    assert mmd_u_statistic(x, y) == pytest.approx(whole, rel=1e-4)


def expected_kernel(d, s, t):
    """E (x.y/d + 1)^3 of independent centred Gaussians with scales s and t: odd powers vanish, E (x.y)^2 = d s^2 t^2."""
    return 1 + 3 * (s * t) ** 2 / d


@pytest.mark.parametrize("scales", [(1.0, 1.0), (1.0, 1.5)])
def test_the_estimates_are_unbiased_however_few_the_samples(scales):
    d, generator = 4, torch.Generator().manual_seed(1)
    truth = expected_kernel(d, scales[0], scales[0]) + expected_kernel(d, scales[1], scales[1]) - 2 * expected_kernel(d, *scales)
    draws = [tuple((torch.randn(n, d, generator=generator) * s).numpy() for n, s in zip((8, 12), scales, strict=True)) for _ in range(3000)]
    values, variances = np.array([mmd_u_statistic(*pair) for pair in draws]).T
    error = values.std() / len(values) ** 0.5
    assert abs(values.mean() - truth) < 4 * error
    # The mean of the estimated variances is the variance of the estimates, to their common sampling error.
    spread = (((values - values.mean()) ** 2).std() + variances.std()) / len(values) ** 0.5
    assert abs(variances.mean() - values.var()) < 3 * spread
    subsets = np.array([kernel_distance(*pair, subsets=2, subset_size=6).mean for pair in draws[:500]])
    assert abs(subsets.mean() - truth) < 4 * subsets.std() / len(subsets) ** 0.5


@pytest.mark.parametrize("shift", [0.0, 0.5])
def test_the_standard_error_is_the_spread_over_new_samples(shift):
    results = [kernel_distance(features(120), features(200, shift=shift), subsets=10, subset_size=50) for _ in range(150)]
    ratio = np.mean([result.stderr**2 for result in results]) / np.var([result.mean for result in results])
    assert 0.7 < ratio < 1.4


def test_the_variance_of_a_large_set_comes_from_some_rows_spread_over_all(monkeypatch):
    x, y = features(3000, shift=0.1), features(2500)
    exact = mmd_u_statistic(x, y)[1]
    monkeypatch.setattr("lightning_gen.metrics.kernel_variance.ROWS_FOR_VARIANCE", 1000)
    result = kernel_distance(x, y, subsets=200, subset_size=100)
    assert result.stderr**2 - result.std**2 / 200 == pytest.approx(exact, rel=0.25)
    thinned = Thinned(x, 300)
    assert len(thinned) == len(thinned[:]) == 300
    assert np.all(np.diff(thinned.index) > 0)
    assert 1000 < thinned.index.mean() < 2000


class Counted:
    """A table that remembers the most rows that it handed out at once."""

    def __init__(self, rows):
        self.rows, self.shape, self.largest = rows, rows.shape, 0

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, key):
        part = self.rows[key]
        self.largest = max(self.largest, len(part))
        return part


def test_tables_are_read_in_small_blocks():
    x, y = Counted(features(2500, 4)), Counted(features(2300, 4))
    by_subsets, whole = kernel_distance(x, y, subsets=3), mmd_u_statistic(x, y)
    assert max(x.largest, y.largest) <= 1024
    assert (by_subsets, whole) == (kernel_distance(x.rows, y.rows, subsets=3), mmd_u_statistic(x.rows, y.rows))


def test_bad_features_are_refused_in_one_line():
    x = features(20)
    with pytest.raises(UserError, match="samples: expected at least 4 rows, got 3"):
        kernel_distance(x[:3], x)
    with pytest.raises(UserError, match="real: expected at least 4 rows, got 2"):
        mmd_u_statistic(x, x[:2])
    with pytest.raises(UserError, match="samples: have 16 features, real have 15"):
        kernel_distance(x, x[:, 1:])
    with pytest.raises(UserError, match=r"expected a table \(N, d\)"):
        kernel_distance(x[0], x)
    with pytest.raises(UserError, match="at least 1 subset of at least 2 images, got 0, 10"):
        kernel_distance(x, x, subsets=0, subset_size=10)
    spoilt = x.copy()
    spoilt[4] = np.inf
    with pytest.raises(UserError, match="not finite"):
        kernel_distance(spoilt, x)
