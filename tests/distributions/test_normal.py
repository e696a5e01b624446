"""The diagonal normal against torch.distributions and against its own draws."""

import math

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from lightning_gen.distributions.normal import DiagonalNormal


@pytest.fixture
def pair(float64):
    """Two normals of 5 dimensions, for each of 3 items."""
    return [DiagonalNormal(torch.randn(3, 5), 0.5 * torch.randn(3, 5)) for _ in range(2)]


def reference(normal):
    return Normal(normal.mean, normal.log_scale.exp())


def test_log_prob_is_the_sum_over_dimensions_of_torchs(pair):
    z = torch.randn(7, 3, 5)
    torch.testing.assert_close(pair[0].log_prob(z), reference(pair[0]).log_prob(z).sum(-1), rtol=1e-12, atol=0)


def test_kl_is_torchs(pair):
    expected = kl_divergence(*map(reference, pair))
    torch.testing.assert_close(pair[0].kl(pair[1]), expected.sum(-1), rtol=1e-12, atol=0)
    torch.testing.assert_close(pair[0].kl_terms(pair[1]), expected, rtol=1e-11, atol=1e-14)


def test_kl_is_the_mean_log_ratio_of_draws(pair):
    q, p = pair
    z = q.transform(torch.randn(100_000, 3, 5))
    ratio = q.log_prob(z) - p.log_prob(z)
    assert ((ratio.mean(0) - q.kl(p)).abs() < 5 * ratio.std(0) / math.sqrt(len(ratio))).all()


def test_kl_is_zero_for_equals_and_positive_and_asymmetric_otherwise(pair):
    q, p = pair
    assert (q.kl(DiagonalNormal(q.mean.clone(), q.log_scale.clone())) == 0).all()
    assert (q.kl(p) > 0).all()
    assert (p.kl(q) > 0).all()
    assert ((p.kl(q) - q.kl(p)).abs() > 1e-3).all()


def test_draws_have_the_mean_and_scale(pair):
    z = pair[0].transform(torch.randn(100_000, 3, 5))
    scale = pair[0].log_scale.exp()
    assert ((z.mean(0) - pair[0].mean).abs() < 5 * scale / math.sqrt(len(z))).all()
    assert ((z.std(0) / scale - 1).abs() < 5 / math.sqrt(2 * len(z))).all()


def test_draws_are_differentiable_in_both_parameters(float64):
    mean, log_scale, epsilon = torch.randn(5, requires_grad=True), torch.randn(5, requires_grad=True), torch.randn(5)
    DiagonalNormal(mean, log_scale).transform(epsilon).sum().backward()
    torch.testing.assert_close(mean.grad, torch.ones(5))
    torch.testing.assert_close(log_scale.grad, log_scale.detach().exp() * epsilon)


def test_the_standard_normal_has_mean_zero_and_scale_one(pair):
    standard = DiagonalNormal.standard()
    z = torch.randn(3, 5)
    torch.testing.assert_close(standard.log_prob(z), Normal(0.0, 1.0).log_prob(z).sum(-1))


@pytest.mark.parametrize("log_scale", [-20.0, -8.0, 8.0])
def test_kl_is_accurate_at_extreme_scales_in_float32(log_scale):
    def kl(dtype):
        q = DiagonalNormal(torch.full((2,), 0.3, dtype=dtype), torch.full((2,), log_scale, dtype=dtype))
        return q.kl(DiagonalNormal.standard()).double()

    torch.testing.assert_close(kl(torch.float32), kl(torch.float64), rtol=1e-6, atol=0)
