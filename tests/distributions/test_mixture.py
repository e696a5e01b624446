"""Mixtures of normals: their density against quadrature and torch.distributions, and their draws against their moments."""

import math

import pytest
import torch
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

from lightning_gen.distributions.mixture import LearnedMixture, NormalMixture
from lightning_gen.distributions.normal import DiagonalNormal
from lightning_gen.noise import IndexedNoise


def mixture(count, latent_dim):
    return NormalMixture(torch.randn(count), DiagonalNormal(2 * torch.randn(count, latent_dim), 0.5 * torch.randn(count, latent_dim)))


def reference(of):
    components = Independent(Normal(of.components.mean, of.components.log_scale.exp()), 1)
    return MixtureSameFamily(Categorical(logits=of.log_weights), components)


@pytest.mark.parametrize("latent_dim", [1, 2])
def test_the_density_integrates_to_one(latent_dim, float64):
    line = torch.linspace(-25, 25, 1001)
    grid = torch.cartesian_prod(*[line] * latent_dim).view(-1, latent_dim)
    mass = mixture(3, latent_dim).log_prob(grid).exp().sum() * (line[1] - line[0]) ** latent_dim
    assert mass.item() == pytest.approx(1, abs=1e-6)


def test_log_prob_is_torchs(float64):
    of, z = mixture(7, 5), 3 * torch.randn(4, 6, 5)
    torch.testing.assert_close(of.log_prob(z), reference(of).log_prob(z), rtol=1e-11, atol=1e-11)


def test_every_components_density_is_the_one_that_broadcasting_gives(float64):
    components, z = mixture(7, 5).components, torch.randn(4, 6, 5)
    torch.testing.assert_close(components.log_densities(z), components.log_prob(z.unsqueeze(-2)), rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("precision", ["highest", "medium"])
def test_sharp_components_far_from_the_origin_are_exact_in_float32_and_under_autocast(precision):
    torch.set_default_dtype(torch.float64)
    mean = 30 + torch.randn(20, 50)
    components = DiagonalNormal(mean.float(), torch.full((20, 50), -4.0).float())
    z = (components.mean + 0.02 * torch.randn(20, 50)).float()
    expected = DiagonalNormal(components.mean.double(), components.log_scale.double()).log_prob(z.double().unsqueeze(-2)).diagonal()
    torch.set_float32_matmul_precision(precision)
    try:
        with torch.autocast("cpu", torch.bfloat16):
            found = components.log_densities(z).diagonal()
    finally:
        torch.set_float32_matmul_precision("highest")
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), expected, rtol=1e-6, atol=1e-4)


def test_draws_have_the_mixtures_moments(float64):
    of, count = mixture(4, 3), 50_000
    z = of.sample(IndexedNoise(0, range(count // 10)), "z", (10, 3)).flatten(0, 1)
    weights, mean = of.log_weights.exp(), of.mean
    torch.testing.assert_close(mean, reference(of).mean)
    second = weights @ (of.components.mean.square() + of.components.log_scale.exp().square())
    for values, expected in [(z, mean), (z.square(), second)]:
        assert ((values.mean(0) - expected).abs() < 5 * values.std(0) / math.sqrt(count)).all()


def test_components_are_drawn_as_often_as_they_weigh(float64):
    of = NormalMixture(torch.tensor([0.1, 0.6, 0.3]).log(), DiagonalNormal(torch.zeros(3, 1), torch.zeros(3, 1)))
    chosen = of.choose(IndexedNoise(0, range(50_000)), "z", (1,))
    for frequency, weight in zip(chosen.bincount() / len(chosen), of.log_weights.exp(), strict=True):
        assert abs(frequency - weight) < 5 * math.sqrt(weight * (1 - weight) / len(chosen))


def test_a_learned_mixtures_components_differ_from_the_start_and_all_learn(float64):
    learned = LearnedMixture(6, 4)
    learned.distribution().log_prob(torch.randn(20, 4)).sum().backward()
    for parameter in learned.parameters():
        rows = parameter.grad.view(6, -1)
        assert (torch.cdist(rows, rows) + torch.eye(6) > 1e-3).all()


def test_its_detached_form_has_the_density_without_the_gradient(float64):
    of, z = LearnedMixture(6, 4).distribution(), torch.randn(3, 4)
    assert of.log_prob(z).requires_grad
    assert not of.detached().log_prob(z).requires_grad
    torch.testing.assert_close(of.detached().log_prob(z), of.log_prob(z))
