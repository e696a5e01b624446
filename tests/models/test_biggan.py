"""BigGAN's truncation: the normal distribution mapped on its part within a bound, in order."""

import math

import pytest
import torch

from lightning_gen.errors import UserError
from lightning_gen.models import BigGAN
from lightning_gen.models.gans.biggan import truncated
from lightning_gen.noise import IndexedNoise

BOUNDS = pytest.mark.parametrize("bound", [0.1, 0.5, 1.0, 2.0])
NETWORKS = {"generator": {"class_path": "BigGANGenerator", "width": 4}, "discriminator": {"class_path": "ResNetDiscriminator", "width": 4}}


def below(x):
    """The normal distribution function."""
    return (1 + math.erf(x / math.sqrt(2))) / 2


def model(**options):
    return BigGAN([1, 8, 8], latent_dim=6, **NETWORKS, **options)


@BOUNDS
def test_what_is_truncated_lies_within_the_bound_and_keeps_order_and_sign(bound):
    z = torch.linspace(-6, 6, 2001)
    x = truncated(z, bound)
    assert x.abs().max() <= torch.tensor(bound)
    assert (x.diff() >= 0).all()
    assert (x[1:].sign() == z[1:].sign()).all()
    inner = z.abs() < 3
    assert (x[inner].diff() > 0).all()


@BOUNDS
def test_the_quantiles_are_those_of_the_truncated_normal_distribution(bound, float64):
    z = torch.tensor([-2.5, -1.0, -0.3, 0.0, 0.7, 1.9])
    for value, x in zip(z.tolist(), truncated(z, bound).tolist(), strict=True):
        share = (below(x) - below(-bound)) / (below(bound) - below(-bound))
        assert share == pytest.approx(below(value))


@BOUNDS
def test_the_variance_is_the_closed_form(bound):
    x = truncated(torch.randn(200_000, generator=torch.Generator().manual_seed(1)), bound).double()
    density = math.exp(-(bound**2) / 2) / math.sqrt(2 * math.pi)
    assert float(x.square().mean()) == pytest.approx(1 - 2 * bound * density / (below(bound) - below(-bound)), rel=0.02)
    assert float(x.mean()) == pytest.approx(0, abs=5 * bound / math.sqrt(200_000))


def test_a_large_bound_changes_nothing():
    z = torch.linspace(-6.5, 6.5, 501)
    torch.testing.assert_close(truncated(z, 20.0), z, rtol=1e-5, atol=1e-6)


def test_extreme_draws_stay_finite():
    assert truncated(torch.tensor([-40.0, 40.0]), 2.0).tolist() == pytest.approx([-2, 2])


def test_samples_are_of_truncated_draws_and_training_is_not():
    plain, cut = model(), model(truncation=0.5)
    cut.load_state_dict(plain.state_dict())
    noise = IndexedNoise(0, range(9))
    z = noise.normal("z", (6,))
    assert torch.equal(cut.draw_latents(noise), truncated(z, 0.5))
    assert torch.equal(plain.draw_latents(noise), z)
    assert torch.equal(cut.prior(noise, "z"), z)
    assert (cut.answer_options(), plain.answer_options()) == ({"truncation": 0.5}, {})
    assert not torch.equal(plain.sample(9), cut.sample(9))


def test_adam_is_the_papers():
    for optimizer in model().configure_optimizers():
        assert (optimizer.param_groups[0]["lr"], optimizer.param_groups[0]["betas"]) == (2e-4, (0.0, 0.999))


def test_a_truncation_below_zero_is_refused():
    with pytest.raises(UserError, match=r"^model\.truncation: expected at least 0, got -1\.0"):
        model(truncation=-1.0)


def test_an_endless_truncation_is_refused():
    with pytest.raises(UserError, match=r"^model\.truncation: expected a number of deviations, .* got inf"):
        model(truncation=math.inf)


def test_a_length_of_the_labels_vector_needs_labels():
    networks = {"generator": {"class_path": "BigGANGenerator", "width": 8, "label_features": 16}, "discriminator": "DCGANDiscriminator"}
    assert BigGAN([1, 8, 8], latent_dim=9, num_classes=3, conditional=True, **networks).conditional
    with pytest.raises(UserError, match=r"label_features: there are no labels, .* got 16"):
        BigGAN([1, 8, 8], latent_dim=9, **networks)
