"""The k-sample bound and its two gradients."""

import math

import pytest
import torch
from linear_gaussian import LinearNetworks, bounds, error, make_inexact, make_linear

from lightning_gen.distributions.normal import DiagonalNormal
from lightning_gen.errors import UserError
from lightning_gen.models import IWAE, VAE
from lightning_gen.models.autoencoders.vae import Explanation
from lightning_gen.noise import IndexedNoise


class LinearIWAE(LinearNetworks, IWAE):
    pass


@pytest.fixture
def x():
    return torch.randn(5, 4, dtype=torch.float64)


@pytest.fixture
def images():
    return torch.randint(0, 256, (6, 1, 4, 4), dtype=torch.uint8)


def small(cls=IWAE, **options):
    torch.manual_seed(0)
    return cls([1, 4, 4], latent_dim=3, **options).double()


def gradients(loss, model):
    return torch.autograd.grad(loss, list(model.parameters()))


def draws_of(model, images, noise):
    posterior = model.posterior(images).repeated()
    z = posterior.sample(noise, "z", (model.hparams.num_samples, 3))
    return model.weigh(z, posterior, model.prior(), model.likelihood.target(images, noise), None)


@pytest.mark.parametrize("k", [1, 7])
def test_the_gradient_is_the_one_of_the_log_weights_weighted_by_their_softmax(k, images, float64):
    model, noise = small(num_samples=k), IndexedNoise(0, range(6))
    log_weights = draws_of(model, images, noise).log_weights
    expected = gradients(-(torch.softmax(log_weights.detach(), 1) * log_weights).sum(1).mean(), model)
    found = gradients(model.negative_elbo(images, None, noise)["loss"], model)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


def test_the_best_sample_weighs_most(float64):
    """AntixK's implementation weights by the softmax of plus the loss, hence the worst most."""
    distortion = torch.tensor([[3.0, 1.0, 2.0], [10.0, 30.0, 20.0]], requires_grad=True)
    draws = Explanation(distortion, torch.zeros(2, 3, 1))
    for loss in (-small(num_samples=3).bound(draws), small(num_samples=3).doubly_reparameterized(torch.zeros(2, 3, 3), draws)):
        (weights,) = torch.autograd.grad(2 * loss, distortion, retain_graph=True)
        torch.testing.assert_close(weights, torch.softmax(-distortion.detach(), 1))
        assert weights.argmax(1).tolist() == distortion.argmin(1).tolist()


def test_with_one_sample_it_is_the_vae_with_the_monte_carlo_kl(images, float64):
    noise = IndexedNoise(0, range(6))
    iwae, vae = small(num_samples=1), small(VAE, kl_estimator="monte_carlo")
    ours, theirs = (model.negative_elbo(images, None, noise) for model in (iwae, vae))
    for name in ("loss", "distortion", "rate"):
        torch.testing.assert_close(ours[name], theirs[name], rtol=1e-12, atol=0)
    for one, other in zip(gradients(ours["loss"], iwae), gradients(theirs["loss"], vae), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


def test_the_loss_is_minus_the_bound_that_evaluation_reports(x):
    model = make_inexact(make_linear(LinearIWAE, num_samples=4))
    losses = torch.stack([model.negative_elbo(x, None, IndexedNoise(seed, range(5)))["loss"] for seed in range(1500)])
    values = bounds(model, x, 4).mean(1)
    assert abs(float(losses.mean() + values.mean())) < 5 * math.hypot(error(losses), error(values))


def test_the_bound_lies_between_the_elbo_and_log_p_of_x_in_expectation(x):
    model = make_inexact(make_linear(LinearIWAE, num_samples=5))
    elbo = (model.evidence(x) - model.posterior(x).kl(model.exact_posterior(x))).mean()
    losses = torch.stack([model.negative_elbo(x, None, IndexedNoise(seed, range(5)))["loss"] for seed in range(1500)])
    assert elbo + 5 * error(losses) < -losses.mean() < model.evidence(x).mean() - 5 * error(losses)


# The doubly reparameterised gradient.


def doubly(**options):
    return small(num_samples=5, gradient="doubly_reparameterized", **options)


def test_the_doubly_reparameterised_loss_and_the_decoders_gradient_are_the_standard_ones_draw_by_draw(images, float64):
    for seed in range(5):
        noise = IndexedNoise(seed, range(6))
        models = small(num_samples=5), doubly()
        losses = [model.negative_elbo(images, None, noise)["loss"] for model in models]
        torch.testing.assert_close(*losses, rtol=1e-12, atol=0)
        for name in ("decoder", "likelihood"):
            parameters = [list(getattr(model, name).parameters()) for model in models]
            one, other = (torch.autograd.grad(loss, of, retain_graph=True) for loss, of in zip(losses, parameters, strict=True))
            torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


def posterior_gradients(model, x, count):
    """The gradient of the loss of one x in mean and log-scale of its posterior, for many draws: ``(count, 4)``."""
    posterior = model.posterior(x[:1])
    leaves = [parameter.detach().repeat(count, 1).requires_grad_() for parameter in (posterior.mean, posterior.log_scale)]
    model.posterior = lambda images, labels=None: DiagonalNormal(*leaves)
    loss = model.negative_elbo(x[:1].repeat(count, 1), None, IndexedNoise(0, range(count)))["loss"]
    return torch.cat(torch.autograd.grad(count * loss, leaves), dim=1)


@pytest.mark.parametrize("warmed", [1.0, 0.5, 0.0])
def test_the_doubly_reparameterised_gradient_is_unbiased_for_the_encoder(warmed, x):
    found = []
    for gradient in ("standard", "doubly_reparameterized"):
        torch.manual_seed(0)
        model = make_inexact(make_linear(LinearIWAE, num_samples=4, gradient=gradient, kl_warmup_images=100))
        model.images_seen = 100 * warmed
        found.append(posterior_gradients(model, x, 100_000))
    standard, other = found
    difference = standard - other
    assert (difference.abs() > 1e-3).any() == (warmed > 0), "without the rate there is no score to reparameterise"
    assert (difference.mean(0).abs() <= 5 * error(difference)).all()


def test_the_doubly_reparameterised_gradient_varies_less(x):
    variances = []
    for gradient in ("standard", "doubly_reparameterized"):
        torch.manual_seed(0)
        model = make_inexact(make_linear(LinearIWAE, num_samples=8, gradient=gradient))
        variances.append(posterior_gradients(model, x, 20_000).var(0))
    assert (variances[1] < 0.8 * variances[0]).all()


@pytest.mark.parametrize("gradient", ["standard", "doubly_reparameterized"])
def test_validation_needs_no_gradients(gradient, images):
    model = small(num_samples=3, gradient=gradient).float()
    with torch.no_grad():
        assert model.validation_terms((images, None), IndexedNoise(0, range(6)))["loss"].isfinite()


def test_free_bits_are_refused():
    with pytest.raises(UserError, match=r"model\.free_bits: the k-sample bound has no KL term to leave free; expected 0, got 0\.5"):
        small(free_bits=0.5)


def test_no_samples_are_no_bound():
    with pytest.raises(UserError, match=r"model\.num_samples: expected at least 1, got 0"):
        small(num_samples=0)
