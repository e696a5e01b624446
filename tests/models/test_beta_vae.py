"""The beta-VAE: what it charges for the rate, at beta 1 nothing else than the VAE, and how the capacity grows."""

import pytest
import torch

from lightning_gen.errors import UserError
from lightning_gen.models import VAE, BetaVAE
from lightning_gen.noise import IndexedNoise


def images(count=5):
    return torch.randint(0, 256, (count, 1, 4, 4), dtype=torch.uint8)


def twins(options, seed=0):
    """A VAE and a beta-VAE with the same weights."""
    torch.manual_seed(seed)
    vae, beta = VAE([1, 4, 4], latent_dim=3), BetaVAE([1, 4, 4], latent_dim=3, **options)
    beta.load_state_dict(vae.state_dict())
    return vae, beta


def terms(model, x):
    return model.negative_elbo(x, None, IndexedNoise(0, range(len(x))))


def gradients(model, x):
    return torch.autograd.grad(terms(model, x)["loss"], list(model.parameters()))


def test_beta_one_is_the_vae_to_the_last_bit():
    vae, beta = twins({"beta": 1.0})
    x = images()
    assert all(torch.equal(one, other) for one, other in zip(terms(vae, x).values(), terms(beta, x).values(), strict=True))
    assert all(torch.equal(one, other) for one, other in zip(gradients(vae, x), gradients(beta, x), strict=True))


@pytest.mark.parametrize("value", [0.0, 0.5, 4.0])
def test_beta_multiplies_the_rate_in_nats_and_nothing_else(value):
    vae, beta = twins({"beta": value})
    x = images()
    plain, weighted = terms(vae, x), terms(beta, x)
    assert (weighted["distortion"], weighted["rate"]) == (plain["distortion"], plain["rate"])
    assert weighted["loss"].item() == pytest.approx((plain["distortion"] + value * plain["rate"]).item(), rel=1e-6)


def test_beta_does_not_change_what_is_reported_as_likelihood():
    vae, beta = twins({"beta": 10.0})
    x, noise = images(), IndexedNoise(0, range(5))
    for k in (1, 5):
        assert torch.equal(vae.log_prob(x, noise=noise, num_samples=k), beta.log_prob(x, noise=noise, num_samples=k))


@pytest.mark.parametrize(("seen", "capacity"), [(0, 0.0), (250, 5.0), (1000, 20.0), (5000, 20.0)])
def test_the_capacity_grows_linearly_over_the_images_seen(seen, capacity):
    _, beta = twins({"beta": 3.0, "capacity": 20.0, "capacity_images": 1000})
    beta.images_seen = seen
    found = terms(beta, images())
    expected = found["distortion"] + 3 * (found["rate"] - capacity).abs()
    assert found["loss"].item() == pytest.approx(expected.item(), rel=1e-6)


def test_below_the_capacity_the_rate_is_pushed_up_and_above_it_down(float64):
    x = images()
    for seen, direction in [(0, -1), (1000, 1)]:
        _, beta = twins({"beta": 1e4, "capacity": 1e3, "capacity_images": 1000})
        beta.double().images_seen = seen
        before = terms(beta, x)["rate"]
        step = gradients(beta, x)
        with torch.no_grad():
            for parameter, gradient in zip(beta.parameters(), step, strict=True):
                parameter -= 1e-9 * gradient
        assert torch.sign(terms(beta, x)["rate"] - before) == direction


@pytest.mark.parametrize("options", [{"beta": -1.0}, {"capacity": -1.0}, {"capacity_images": -5}])
def test_negative_settings_are_refused_by_name(options):
    (name,) = options
    with pytest.raises(UserError, match=rf"model\.{name}: expected at least 0"):
        BetaVAE([1, 4, 4], **options)


def test_a_capacity_that_would_not_grow_is_refused():
    with pytest.raises(UserError, match=r"model\.capacity: it grows over capacity_images, which is 0"):
        BetaVAE([1, 4, 4], capacity=5.0)
