"""The normals against torch.distributions and against their own draws."""

import math

import pytest
import torch
from torch.distributions import MultivariateNormal, Normal, kl_divergence

from lightning_gen.distributions.normal import DiagonalNormal, FullNormal
from lightning_gen.noise import IndexedNoise


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


# Full covariance.


@pytest.fixture
def full(float64):
    """A normal with full covariance of 4 dimensions, for each of 3 items."""
    return FullNormal.from_parameters(0.5 * torch.randn(3, FullNormal.num_parameters(4)))


def multivariate(normal):
    return MultivariateNormal(normal.mean, scale_tril=normal.scale_tril)


@pytest.mark.parametrize("latent_dim", [1, 2, 3, 7, 50])
def test_parameters_of_a_full_normal_are_a_mean_and_a_cholesky_factor(latent_dim, float64):
    parameters = torch.arange(FullNormal.num_parameters(latent_dim), dtype=torch.float64).unsqueeze(0) / 100
    normal = FullNormal.from_parameters(parameters)
    below = normal.scale_tril[0][torch.tril_indices(latent_dim, latent_dim, -1).unbind()]
    assert torch.equal(normal.scale_tril, normal.scale_tril.tril())
    # Every number is used, once.
    assert torch.equal(
        torch.cat([normal.mean[0], normal.scale_tril[0].diagonal().log(), below]).sort().values.round(decimals=9), parameters[0]
    )


def test_log_prob_of_a_full_normal_is_torchs_for_any_dimensions_in_front(full):
    for z, normal in [(torch.randn(3, 4), full), (torch.randn(3, 6, 4), full.repeated()), (torch.randn(5, 1, 4), full)]:
        expected = MultivariateNormal(normal.mean, scale_tril=normal.scale_tril).log_prob(z)
        torch.testing.assert_close(normal.log_prob(z), expected, rtol=1e-11, atol=0)


def test_kl_of_a_full_normal_is_torchs(full):
    other = DiagonalNormal(torch.randn(3, 4), 0.5 * torch.randn(3, 4))
    expected = kl_divergence(multivariate(full), MultivariateNormal(other.mean, scale_tril=torch.diag_embed(other.log_scale.exp())))
    torch.testing.assert_close(full.kl_terms(other), expected.unsqueeze(-1), rtol=1e-11, atol=0)
    standard = kl_divergence(multivariate(full), MultivariateNormal(torch.zeros(4), torch.eye(4)))
    torch.testing.assert_close(full.kl_terms(DiagonalNormal.standard()).squeeze(-1), standard, rtol=1e-11, atol=0)


def test_draws_of_a_full_normal_have_its_mean_and_covariance(full):
    count = 200_000
    z = full.repeated().sample(IndexedNoise(0, range(3)), "z", (count, 4))
    centred = z - full.mean.unsqueeze(1)
    covariance = centred.transpose(1, 2) @ centred / count
    expected = full.scale_tril @ full.scale_tril.transpose(1, 2)
    largest = expected.diagonal(dim1=1, dim2=2).amax(1)
    assert (centred.mean(1).abs().amax(1) < 5 * (largest / count).sqrt()).all()
    assert ((covariance - expected).abs().amax((1, 2)) < 5 * largest * math.sqrt(2 / count)).all()


def test_a_full_normal_without_entries_below_the_diagonal_is_the_diagonal_one(float64):
    mean, log_scale, z = torch.randn(3, 4), torch.randn(3, 4), torch.randn(3, 4)
    full = FullNormal.from_parameters(torch.cat([mean, log_scale, torch.zeros(3, 6)], dim=1))
    diagonal, standard = DiagonalNormal(mean, log_scale), DiagonalNormal.standard()
    torch.testing.assert_close(full.log_prob(z), diagonal.log_prob(z), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(full.kl_terms(standard).sum(-1), diagonal.kl(standard), rtol=1e-12, atol=1e-12)


def test_without_a_closed_form_the_kl_is_refused(full, pair):
    for one, other in [(pair[0], full), (full, full)]:
        with pytest.raises(NotImplementedError, match="no closed form"):
            one.kl_terms(other)


def test_a_draw_of_a_full_normal_is_not_rounded_by_autocast():
    normal = FullNormal.from_parameters(torch.randn(8, FullNormal.num_parameters(4)))
    noise = IndexedNoise(0, range(8))
    with torch.autocast("cpu", torch.bfloat16):
        rounded = normal.sample(noise, "z", (4,))
    assert torch.equal(rounded, normal.sample(noise, "z", (4,)))
