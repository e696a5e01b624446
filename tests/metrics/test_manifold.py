"""Precision, recall, density and coverage on constructed sets, and against torch-fidelity and the definitions."""

import numpy as np
import pytest
import torch
from torch_fidelity.metric_prc import prc_features_to_metric

from lightning_gen.errors import UserError
from lightning_gen.metrics.manifold import manifold_scores


def features(count, d=8, scale=1.0):
    return (torch.randn(count, d) * scale).numpy()


def modes(*centres, count=60, d=4):
    """Unit clouds far apart, one around each centre."""
    return np.concatenate([features(count, d) + 100 * centre for centre in centres]).astype(np.float32)


def distance(x, y):
    return np.sqrt(((x[:, None].astype(np.float64) - y[None].astype(np.float64)) ** 2).sum(-1))


def radius(x, k):
    return np.sort(distance(x, x), 1)[:, k]


def by_the_definitions(x, y, k, k_density):
    """With full distance matrices of differences, of samples x and real images y."""
    cross = distance(x, y)
    inside = cross < radius(y, k_density)
    precision = (cross <= radius(y, k)).any(1).mean()
    recall = (cross <= radius(x, k)[:, None]).any(0).mean()
    return precision, recall, inside.sum() / (k_density * len(x)), inside.any(0).mean()


def values(scores):
    return scores.precision, scores.recall, scores.density, scores.coverage


@pytest.mark.parametrize(("count", "others", "scale"), [(300, 200, 1.0), (150, 400, 0.8), (150, 400, 1.3)])
def test_precision_and_recall_are_torch_fidelitys(count, others, scale):
    samples, real = features(count, scale=scale), features(others)
    theirs = prc_features_to_metric(torch.from_numpy(samples), torch.from_numpy(real), verbose=False)
    ours = manifold_scores(samples, real)
    assert 0.1 < ours.precision < 1
    assert ours.precision == pytest.approx(theirs["precision"], rel=1e-6)
    assert ours.recall == pytest.approx(theirs["recall"], rel=1e-6)


@pytest.mark.parametrize(("k", "k_density"), [(3, 5), (1, 2), (6, 1)])
def test_all_are_their_definitions(k, k_density):
    samples, real = features(90, scale=1.1), features(70)
    assert values(manifold_scores(samples, real, k, k_density)) == pytest.approx(by_the_definitions(samples, real, k, k_density), rel=1e-12)


def test_blocks_do_not_show(monkeypatch):
    samples, real = features(90, scale=1.1), features(75)
    whole = manifold_scores(samples, real)
    monkeypatch.setattr("lightning_gen.metrics.neighbours.ROWS_PER_BLOCK", 7)
    assert manifold_scores(samples, real) == whole


def test_a_dropped_mode_costs_recall_and_coverage_and_not_precision():
    scores = manifold_scores(modes(0, 1, count=120), modes(0, 1, 2, 3))
    assert scores.precision > 0.85
    assert scores.density > 0.8
    assert scores.recall < 0.55
    assert scores.coverage < 0.55


def test_an_invented_mode_costs_precision_and_density_and_not_recall():
    scores = manifold_scores(modes(0, 1, 2, 3), modes(0, 1, count=120))
    assert scores.recall > 0.85
    assert scores.precision < 0.55
    assert scores.density < 0.6
    assert scores.coverage > 0.5


@pytest.mark.parametrize("block", [1024, 16])
def test_identical_sets_score_one_to_the_last_digit(block, monkeypatch):
    monkeypatch.setattr("lightning_gen.metrics.neighbours.ROWS_PER_BLOCK", block)
    same = features(200, 64)
    assert values(manifold_scores(same, same[::-1])) == (1, 1, 1, 1)


def test_closed_and_open_balls():
    real = np.array([[0], [1], [3]], np.float32)
    samples = np.array([[-1], [5], [9]], np.float32)
    # With k = 1 the real radii are 1, 1, 2 and the samples' 6, 4, 4: the samples -1 and 5 lie on a real ball's border.
    assert values(manifold_scores(samples, real, 1, 1)) == (2 / 3, 1, 0, 0)


def test_copies_of_one_image_have_a_ball_of_radius_zero():
    real = np.zeros((6, 3), np.float32)
    assert values(manifold_scores(real, real)) == (1, 1, 0, 0)
    assert manifold_scores(real + np.float32(1e-3), real).precision == 0


@pytest.mark.parametrize("factor", [1e-8, 1e8])
def test_the_unit_of_the_features_does_not_matter(factor):
    samples, real = features(60, scale=1.1), features(70)
    assert manifold_scores(samples * np.float32(factor), real * np.float32(factor)) == manifold_scores(samples, real)


def test_tables_are_read_in_small_blocks():
    class Counted:
        shape, largest = (2200, 4), 0

        def __init__(self, rows):
            self.rows = rows

        def __len__(self):
            return len(self.rows)

        def __getitem__(self, key):
            part = self.rows[key]
            self.largest = max(self.largest, len(part))
            return part

    samples, real = Counted(features(2200, 4)), Counted(features(2200, 4))
    assert manifold_scores(samples, real) == manifold_scores(samples.rows, real.rows)
    assert samples.largest == real.largest == 1024


def test_too_few_or_spoilt_features_are_refused_in_one_line():
    x = features(20)
    with pytest.raises(UserError, match="samples: expected at least 6 rows, got 5"):
        manifold_scores(x[:5], x)
    with pytest.raises(UserError, match="real: expected at least 8 rows, got 7"):
        manifold_scores(x, x[:7], k=7)
    with pytest.raises(UserError, match="expected at least 1, got 0, 5"):
        manifold_scores(x, x, k=0)
    with pytest.raises(UserError, match="samples: have 8 features, real have 7"):
        manifold_scores(x, x[:, 1:])
    spoilt = x.copy()
    spoilt[3, 2] = np.nan
    with pytest.raises(UserError, match="real: features are not finite in rows 0 to 19"):
        manifold_scores(x, spoilt)
