"""The foils without a posterior: exact sums against brute force, Monte Carlo against exact sums, and how loose its bound is."""

import itertools
import math

import pytest
import torch
from linear_gaussian import LinearNetworks, LinearVAE, bounds, error, make_inexact, make_linear

from lightning_gen.distributions.one_hot import UniformOneHot
from lightning_gen.models import EnumerationLVM, PriorSamplingLVM
from lightning_gen.models.capabilities import capabilities_of
from lightning_gen.noise import IndexedNoise

DECODER = {"class_path": "MLPDecoder", "hidden": [9]}


def enumeration(likelihood="Bernoulli", num_bits=1, shape=(1, 2, 2), **options):
    torch.manual_seed(0)
    model = EnumerationLVM(list(shape), latent_dim=5, decoder=DECODER, likelihood=likelihood, num_bits=num_bits, **options).double()
    for parameter in model.requires_grad_(False).parameters():
        parameter.mul_(2)
    return model


def all_images(shape=(1, 2, 2)):
    """Every binary image."""
    return 255 * torch.tensor([*itertools.product([0, 1], repeat=math.prod(shape))], dtype=torch.uint8).view(-1, *shape)


def test_the_masses_of_all_images_sum_to_one(float64):
    log_p = enumeration().log_prob(all_images(), noise=IndexedNoise(0, range(16)))
    assert log_p.exp().sum().item() == pytest.approx(1, rel=1e-12)
    assert log_p.std() > 0.1


@pytest.mark.parametrize("conditional", [False, True])
def test_the_sum_is_the_one_by_brute_force(conditional, float64):
    model = enumeration(num_classes=3, conditional=conditional)
    images, labels = all_images(), torch.arange(16) % 3 if conditional else None
    found = model.log_prob(images, labels=labels, noise=IndexedNoise(0, range(16)))
    for i, image in enumerate(images / 255):
        mass = 0.0
        for z in torch.eye(5):
            p = torch.sigmoid(model.decoder(z.unsqueeze(0), None if labels is None else labels[[i]]))[0]
            mass += 0.2 * torch.where(image == 1, p, 1 - p).prod().item()
        assert found[i].item() == pytest.approx(math.log(mass), rel=1e-12)


class Sampled(PriorSamplingLVM):
    """The same model with a discrete z, by Monte Carlo."""

    def prior(self, labels=None):
        return UniformOneHot(self.latent_dim)


def test_monte_carlo_over_the_prior_converges_to_the_sum(float64):
    exact = enumeration()
    model = Sampled([1, 2, 2], latent_dim=5, decoder=DECODER, likelihood="Bernoulli", num_bits=1).double().requires_grad_(False)
    model.load_state_dict(exact.state_dict())
    images = all_images()[[0, 6, 15]]
    truth = exact.log_prob(images, noise=IndexedNoise(0, range(3)))
    values = model.log_prob(images.repeat(4000, 1, 1, 1), noise=IndexedNoise(0, range(12_000))).view(4000, 3)
    weights = (values - truth).exp()
    assert ((weights.mean(0) - 1).abs() < 5 * error(weights)).all()
    assert (values.mean(0) < truth - 5 * error(values)).all(), "one sample is a bound"
    found = model.log_prob(images, noise=IndexedNoise(1, range(3)), num_samples=20_000)
    assert ((found - truth).abs() < 5 * weights.std(0) / math.sqrt(20_000)).all()


@pytest.mark.parametrize(
    ("likelihood", "num_bits", "shape", "kind"),
    [
        ("Bernoulli", 1, (1, 2, 2), "exact"),
        ("DiscretizedLogistic", 4, (1, 2, 2), "exact"),
        ("Gaussian", 8, (1, 2, 2), "lower bound"),
        ("Gaussian", 8, (2,), "exact"),
    ],
)
def test_a_sum_is_exact_where_its_terms_are(likelihood, num_bits, shape, kind):
    assert [enumeration(likelihood, num_bits, shape).likelihood_kind(k) for k in (1, 64)] == [kind, kind]


def test_the_loss_is_minus_the_mean_log_likelihood(float64):
    model, images, noise = enumeration(), all_images(), IndexedNoise(0, range(16))
    loss = model.validation_terms((images, None), noise)["loss"]
    assert loss.item() == pytest.approx(-model.log_prob(images, noise=noise).mean().item(), rel=1e-13)


def test_its_samples_are_its_components_and_all_of_them():
    model = enumeration("DiscretizedLogistic", 8, (1, 4, 4))
    with model.inference():
        components = model.decode(torch.eye(5, dtype=torch.float64))
    drawn = model.sample(200).flatten(1).unique(dim=0)
    assert torch.equal(drawn, components.flatten(1).unique(dim=0))


# On the linear-Gaussian model, where a posterior is at hand too.


class LinearSampling(LinearNetworks, PriorSamplingLVM):
    pass


@pytest.fixture
def x():
    return 1.5 * torch.randn(5, 4, dtype=torch.float64)


def pair():
    """A VAE with a posterior that is near, and the same model without one."""
    vae, foil = make_inexact(make_linear(LinearVAE)), make_linear(LinearSampling, num_samples=8)
    for name in ("decoder", "likelihood"):
        getattr(foil, name).load_state_dict(getattr(vae, name).state_dict())
    return vae, foil


def test_its_weights_average_to_p_of_x(x):
    _, foil = pair()
    weights = (bounds(foil, x, 1, 40_000) - foil.evidence(x)).exp()
    assert ((weights.mean(0) - 1).abs() < 5 * error(weights)).all()


@pytest.mark.parametrize("k", [1, 8, 40])
def test_its_bound_is_looser_than_the_one_with_a_posterior_at_the_same_number_of_samples(k, x):
    vae, foil = pair()
    looser, tighter = bounds(foil, x, k, 2000).mean(1), bounds(vae, x, k, 2000).mean(1)
    assert tighter.mean() - looser.mean() > 0.2 + 5 * (error(looser) + error(tighter))
    assert looser.mean() < foil.evidence(x).mean() - 5 * error(looser)


def test_its_loss_is_minus_the_bound_of_as_many_samples(x):
    _, foil = pair()
    noise = IndexedNoise(0, range(5))
    loss = foil.validation_terms((x, None), noise)["loss"]
    assert loss.item() == pytest.approx(-foil.log_prob(x, noise=noise, num_samples=8).mean().item(), rel=1e-13)


def test_nothing_pretends_to_infer_a_latent_vector():
    for cls in (PriorSamplingLVM, EnumerationLVM):
        assert capabilities_of(cls) == ["sampling", "likelihood", "decoding", "prior"]
    assert [PriorSamplingLVM([1, 8, 8]).likelihood_kind(k) for k in (1, 5)] == ["lower bound", "k-sample bound"]
