"""The total correlation, by brute force and where it is known."""

import math

import pytest
import torch

from lightning_gen.distributions.normal import DiagonalNormal
from lightning_gen.models import VAE, BetaTCVAE
from lightning_gen.noise import IndexedNoise


@pytest.fixture
def model(float64):
    return BetaTCVAE([1, 4, 4], latent_dim=3).double()


def images(count=6):
    return torch.randint(0, 256, (count, 1, 4, 4), dtype=torch.uint8)


def brute_force(posterior, z):
    """log q(z) - sum_d log q(z_d), density by density."""
    total = 0.0
    for draw in z:
        density = torch.distributions.Normal(posterior.mean, posterior.log_scale.exp()).log_prob(draw).exp()  # (images, D)
        total += density.prod(1).mean().log() - density.mean(0).log().sum()
    return total / len(z)


def test_the_total_correlation_is_that_of_the_mixture_of_the_batchs_posteriors(model):
    posterior = DiagonalNormal(torch.randn(6, 3), 0.3 * torch.randn(6, 3))
    z = posterior.transform(torch.randn(6, 3))
    torch.testing.assert_close(model.total_correlation(posterior, z), brute_force(posterior, z), rtol=1e-12, atol=0)


def test_it_is_zero_for_one_posterior_for_all_and_the_entropy_of_the_codes_for_equal_dimensions(model):
    same = DiagonalNormal(torch.zeros(50, 3), torch.zeros(50, 3))
    assert abs(model.total_correlation(same, torch.randn(50, 3))) < 1e-12
    # Each image is a far-away point with the same coordinate in every dimension: TC = (D - 1) log N.
    far = 100 * torch.arange(8.0).unsqueeze(1).expand(8, 3)
    narrow = DiagonalNormal(far, torch.full((8, 3), -3.0))
    assert float(model.total_correlation(narrow, far)) == pytest.approx(2 * math.log(8), rel=1e-9)


def test_dependent_dimensions_have_the_gaussians_total_correlation(model):
    rho, width = 0.8, 0.3
    mixing = torch.linalg.cholesky(torch.tensor([[1, rho, 0], [rho, 1, 0], [0, 0, 1]]))
    centres, others = torch.randn(2, 6000, 3) @ mixing.T
    posterior = DiagonalNormal(centres, torch.full((6000, 3), math.log(width)))
    found = model.total_correlation(posterior, others[:2000] + width * torch.randn(2000, 3))
    correlation = rho / (1 + width**2)  # of the mixture, which the posteriors' width blurs
    assert float(found) == pytest.approx(-0.5 * math.log(1 - correlation**2), abs=0.06)


def test_beta_one_is_the_vae(float64):
    vae = VAE([1, 4, 4], latent_dim=3).double()
    tc = BetaTCVAE([1, 4, 4], latent_dim=3, beta=1.0).double()
    tc.load_state_dict(vae.state_dict())
    x, noise = images(), IndexedNoise(0, range(6))
    assert torch.equal(tc.negative_elbo(x, None, noise)["loss"], vae.negative_elbo(x, None, noise)["loss"])


def test_the_loss_charges_the_total_correlation_beyond_the_elbo(model):
    x = images()
    terms = model.negative_elbo(x, None, IndexedNoise(0, range(6)))
    expected = terms["distortion"] + terms["rate"] + 5 * terms["total_correlation"]
    torch.testing.assert_close(terms["loss"], expected, rtol=1e-13, atol=0)
    assert all((gradient != 0).any() for gradient in torch.autograd.grad(terms["total_correlation"], list(model.encoder.parameters())))
