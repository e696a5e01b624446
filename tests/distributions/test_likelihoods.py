"""Likelihoods: masses sum to one, densities integrate to one, samples have the frequencies that log_prob says."""

import math

import pytest
import torch
from torch.distributions import Bernoulli as TorchBernoulli
from torch.distributions import Normal

from lightning_gen.distributions.likelihoods import Bernoulli, DiscretizedLogistic, Gaussian
from lightning_gen.errors import UserError
from lightning_gen.images import from_levels, to_levels
from lightning_gen.noise import IndexedNoise

BITS = range(1, 9)
PIXEL = (1, 1, 1)
MEANS = [-30.0, -1.5, -1.0, -0.3, 0.0, 0.77, 1.0, 30.0]
LOG_SCALES = [-9.0, -7.0, -4.0, -1.0, 0.0, 3.0, 20.0]


def every_level(num_bits):
    """Each level once, as images of one pixel ``(2^n, 1, 1, 1)``."""
    return from_levels(torch.arange(2**num_bits), num_bits).view(-1, *PIXEL)


def masses(likelihood, parameters):
    """log-mass of every level of a pixel, for each row of ``parameters`` ``(R, P)``: ``(R, 2^n)``."""
    target = likelihood.target(every_level(likelihood.num_bits), None)
    return likelihood.log_prob(parameters.view(len(parameters), 1, -1, 1, 1), target)


def logistic_parameters():
    return torch.cartesian_prod(torch.tensor(MEANS), torch.tensor(LOG_SCALES))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("num_bits", BITS)
def test_discretized_logistic_masses_sum_to_one(num_bits, dtype):
    torch.set_default_dtype(dtype)
    log_mass = masses(DiscretizedLogistic(PIXEL, num_bits), logistic_parameters())
    assert torch.isfinite(log_mass).all()
    assert (log_mass <= 1e-6).all()
    total = log_mass.double().logsumexp(1)
    torch.testing.assert_close(total, torch.zeros_like(total), rtol=0, atol=1e-12 if dtype == torch.float64 else 1e-4)


@pytest.mark.parametrize("num_bits", BITS)
def test_discretized_logistic_is_the_difference_of_the_cdf(num_bits, float64):
    parameters = torch.cartesian_prod(torch.linspace(-1.3, 1.3, 9), torch.linspace(-2.5, 2.0, 7))
    top = 2**num_bits - 1
    edges = 2 * (torch.arange(top + 2) - 0.5) / top - 1
    edges[0], edges[-1] = -math.inf, math.inf
    mean, log_scale = parameters[:, :1], parameters[:, 1:]
    expected = torch.sigmoid((edges - mean) / log_scale.exp()).diff()
    torch.testing.assert_close(masses(DiscretizedLogistic(PIXEL, num_bits), parameters).exp(), expected, rtol=1e-8, atol=1e-13)


@pytest.mark.parametrize("num_bits", [1, 5, 8])
def test_discretized_logistic_is_finite_and_accurate_in_float32_with_finite_gradients(num_bits):
    parameters = logistic_parameters()
    likelihood = DiscretizedLogistic(PIXEL, num_bits)
    single = parameters.clone().requires_grad_()
    value = masses(likelihood, single)
    (gradient,) = torch.autograd.grad(value.sum(), single)
    assert torch.isfinite(value).all()
    assert torch.isfinite(gradient).all()
    torch.testing.assert_close(value.double(), masses(likelihood, parameters.double()), rtol=1e-3, atol=1e-3)


def test_the_scale_of_a_logistic_has_a_floor():
    likelihood = DiscretizedLogistic(PIXEL, 8, min_log_scale=-3.0)
    parameters = torch.tensor([[0.1, -3.0], [0.1, -50.0]])
    one, other = masses(likelihood, parameters)
    assert torch.equal(one, other)


@pytest.mark.parametrize("logit", [-200.0, -20.0, -1.0, 0.0, 3.0, 200.0])
def test_bernoulli_masses_sum_to_one_and_are_torchs(logit, float64):
    log_mass = masses(Bernoulli(PIXEL, 1), torch.tensor([[logit]]))[0]
    assert torch.isfinite(log_mass).all()
    assert log_mass.logsumexp(0).item() == pytest.approx(0, abs=1e-14)
    torch.testing.assert_close(log_mass, TorchBernoulli(logits=torch.tensor(logit)).log_prob(torch.tensor([0.0, 1.0])))


@pytest.mark.parametrize("scale", ["shared", "per_value"])
def test_gaussian_density_is_torchs_with_the_floor_added_to_the_scale(scale, float64):
    likelihood = Gaussian((3, 2, 2), 5, scale=scale, min_scale=0.03)
    parameters, target = torch.randn(4, *likelihood.parameter_shape), torch.rand(4, 3, 2, 2)
    sigma = 0.03 + (torch.tensor(0.2) if scale == "shared" else parameters[:, 3:].exp())
    expected = Normal(parameters[:, :3], sigma).log_prob(target).sum((1, 2, 3)) - 12 * 5 * math.log(2)
    torch.testing.assert_close(likelihood.log_prob(parameters, target), expected, rtol=1e-6, atol=0)  # log 0.2 is a float32 parameter


def test_gaussian_scores_vectors_by_the_plain_density(float64):
    likelihood, x = Gaussian((2,), 8, scale="per_value"), torch.randn(4, 2)
    parameters = torch.randn(4, 4)
    assert likelihood.target(x, None) is x
    expected = Normal(parameters[:, :2], 0.01 + parameters[:, 2:].exp()).log_prob(x).sum(1)
    torch.testing.assert_close(likelihood.log_prob(parameters, x), expected)


@pytest.mark.parametrize("mean", [0.0, 0.4, 1.0])
def test_gaussian_density_of_dequantized_data_integrates_to_the_cell_volume(mean, float64):
    likelihood = Gaussian(PIXEL, 4, scale="per_value")
    parameters = torch.tensor([mean, math.log(0.05)]).view(1, 2, 1, 1)
    y = torch.linspace(-2, 3, 50_001).view(-1, *PIXEL)
    total = torch.trapezoid(likelihood.log_prob(parameters, y).exp(), y.flatten())
    assert total.item() == pytest.approx(2.0**-4, rel=1e-9)


@pytest.mark.parametrize("num_bits", [1, 3, 6])
@pytest.mark.parametrize("log_scale", [-4.0, -2.0, 0.0])
def test_dequantized_bound_is_below_the_log_mass_and_the_masses_sum_to_at_most_one(num_bits, log_scale, float64):
    likelihood = Gaussian(PIXEL, num_bits, scale="per_value")
    parameters = torch.tensor([0.37, log_scale]).view(1, 1, 2, 1, 1)
    u = (torch.arange(4000) + 0.5) / 4000
    levels = torch.arange(2**num_bits)
    log_mass = likelihood.log_prob(parameters, ((levels[:, None] + u) / 2**num_bits).view(len(levels), -1, *PIXEL))
    bound, mass = log_mass.mean(1), log_mass.exp().mean(1)
    edges = torch.arange(2**num_bits + 1) / 2**num_bits
    torch.testing.assert_close(mass, Normal(0.37, 0.01 + math.exp(log_scale)).cdf(edges).diff(), rtol=1e-3, atol=1e-12)
    assert (bound <= mass.log() + 1e-6).all()
    assert bound.exp().sum() <= mass.sum() + 1e-9 <= 1 + 2e-9


def close_to(counts, probability):
    """Whether counts agree with probabilities within five standard errors, cell by cell, and by Pearson's chi-square."""
    total = counts.sum()
    expected = total * probability
    cells = expected > 5
    chi_square = ((counts - expected)[cells].square() / expected[cells]).sum()
    few = counts[~cells].sum() <= expected[~cells].sum() + 5 * expected[~cells].sum().sqrt() + 5
    return bool(few) and float(chi_square) < int(cells.sum()) + 5 * math.sqrt(2 * int(cells.sum()))


def frequencies(likelihood, parameters, count=50_000):
    """How often each level is drawn for one pixel's parameters."""
    images = likelihood.sample(parameters.view(1, -1, 1, 1), IndexedNoise(0, range(count)))
    assert images.dtype == torch.uint8
    return to_levels(images, likelihood.num_bits).flatten().bincount(minlength=2**likelihood.num_bits).double()


@pytest.mark.parametrize("num_bits", [1, 4, 8])
@pytest.mark.parametrize("parameters", [[0.2, -2.0], [-0.95, -3.0], [1.2, -1.0]])
def test_samples_of_a_discretized_logistic_have_its_frequencies(num_bits, parameters):
    likelihood, parameters = DiscretizedLogistic(PIXEL, num_bits), torch.tensor([parameters])
    assert close_to(frequencies(likelihood, parameters), masses(likelihood, parameters)[0].exp().double())


@pytest.mark.parametrize("logit", [-3.0, 0.0, 1.0])
def test_samples_of_a_bernoulli_have_its_frequencies(logit):
    likelihood, parameters = Bernoulli(PIXEL, 1), torch.tensor([[logit]])
    assert close_to(frequencies(likelihood, parameters), masses(likelihood, parameters)[0].exp().double())


@pytest.mark.parametrize("num_bits", [1, 4, 8])
@pytest.mark.parametrize("mean", [0.3, 0.99])
def test_samples_of_a_gaussian_fall_into_the_cells_of_its_density(num_bits, mean):
    edges = (torch.arange(2**num_bits + 1) / 2**num_bits).double()
    edges[0], edges[-1] = -math.inf, math.inf
    probability = Normal(torch.tensor(mean).double(), 0.01 + math.exp(-2)).cdf(edges).diff()
    assert close_to(frequencies(Gaussian(PIXEL, num_bits, scale="per_value"), torch.tensor([mean, -2.0])), probability)


def test_the_mean_image_is_the_level_of_the_mean():
    assert Bernoulli(PIXEL, 1).mean(torch.logit(torch.tensor([0.2, 0.6])).view(2, 1, 1, 1)).flatten().tolist() == [51, 153]
    levels = every_level(4)
    gaussian = Gaussian(PIXEL, 4).mean((torch.arange(16).view(-1, *PIXEL) + 0.5) / 16)
    logistic = torch.stack([2 * torch.arange(16) / 15 - 1, torch.zeros(16)], dim=1).view(16, 2, 1, 1)
    assert torch.equal(gaussian, levels)
    assert torch.equal(DiscretizedLogistic(PIXEL, 4).mean(logistic), levels)


def make(name, num_bits=3):
    shape = (3, 2, 4)
    choices = {"Gaussian": Gaussian(shape, num_bits, scale="per_value"), "DiscretizedLogistic": DiscretizedLogistic(shape, num_bits)}
    return Bernoulli(shape, 1) if name == "Bernoulli" else choices[name]


NAMES = ["Bernoulli", "Gaussian", "DiscretizedLogistic"]


def images_for(likelihood, count=5):
    levels = torch.randint(0, 2**likelihood.num_bits, (count, *likelihood.data_shape))
    return from_levels(levels, likelihood.num_bits)


@pytest.mark.parametrize("name", NAMES)
def test_k_decodings_of_each_image_broadcast_like_a_loop(name, float64):
    likelihood = make(name)
    target = likelihood.target(images_for(likelihood), IndexedNoise(0, range(5)))
    parameters = torch.randn(5, 7, *likelihood.parameter_shape)
    together = likelihood.log_prob(parameters, target.unsqueeze(1))
    assert together.shape == (5, 7)
    looped = torch.stack([torch.stack([likelihood.log_prob(parameters[b, k], target[b]) for k in range(7)]) for b in range(5)])
    torch.testing.assert_close(together, looped, rtol=1e-13, atol=0)


@pytest.mark.parametrize("name", NAMES)
def test_pixels_are_independent_given_the_parameters(name, float64):
    likelihood = make(name)
    images, parameters = images_for(likelihood, 1), torch.randn(1, *likelihood.parameter_shape)
    target = likelihood.target(images, IndexedNoise(0, [0]))
    single = type(likelihood)(PIXEL, likelihood.num_bits, **({"scale": "per_value"} if name == "Gaussian" else {}))
    # One group of channels per parameter: (P, C, H, W) to one row of P parameters per pixel.
    rows = parameters.view(likelihood.parameters_per_value, -1).T.reshape(-1, *single.parameter_shape)
    torch.testing.assert_close(likelihood.log_prob(parameters, target)[0], single.log_prob(rows, target.reshape(-1, *PIXEL)).sum())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_parameters_are_promoted(name, dtype):
    likelihood = make(name)
    target = likelihood.target(images_for(likelihood), IndexedNoise(0, range(5)))
    parameters = torch.randn(5, *likelihood.parameter_shape).to(dtype)
    value = likelihood.log_prob(parameters, target)
    assert value.dtype == torch.float32
    assert torch.equal(value, likelihood.log_prob(parameters.float(), target))


@pytest.mark.parametrize("name", NAMES)
def test_samples_are_keyed_by_the_noise(name):
    likelihood = make(name)
    parameters = torch.randn(5, *likelihood.parameter_shape)
    draw = [likelihood.sample(parameters, IndexedNoise(seed, range(5))) for seed in (0, 0, 1)]
    assert torch.equal(draw[0], draw[1])
    assert not torch.equal(draw[0], draw[2])
    assert torch.equal(likelihood.sample(parameters[3:], IndexedNoise(0, range(3, 5))), draw[0][3:])


@pytest.mark.parametrize("log_scale", [-1e4, -100.0])
def test_the_scale_of_a_gaussian_has_a_floor(log_scale):
    likelihood = Gaussian(PIXEL, 8, scale="per_value", min_scale=0.02)
    _, scale = likelihood.mean_and_scale(torch.tensor([0.5, log_scale]).view(1, 2, 1, 1))
    assert scale.item() == pytest.approx(0.02)
    at_the_mean = likelihood.log_prob(torch.tensor([0.5, log_scale]).view(1, 2, 1, 1), torch.full((1, *PIXEL), 0.5))
    assert at_the_mean.item() == pytest.approx(-math.log(0.02 * math.sqrt(2 * math.pi)) - 8 * math.log(2), rel=1e-5)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Bernoulli(PIXEL, 8), "Bernoulli needs binary images, got 8 bits"),
        (lambda: Bernoulli((2,), 1), "Bernoulli needs binary images"),
        (lambda: DiscretizedLogistic((2,), 8), "use Gaussian"),
        (lambda: Gaussian(PIXEL, 8, min_scale=0.0), "min_scale: expected a positive number"),
    ],
)
def test_data_that_a_likelihood_cannot_describe_is_refused(build, message):
    with pytest.raises(UserError, match=message):
        build()
