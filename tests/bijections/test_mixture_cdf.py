"""The CDF of a mixture: a bijection whose slope is the mixture's density, safe in far tails, with an inverse that finds its way."""

import itertools
import math

import pytest
import torch
from bijection_checks import check_bijection, perturbed

from lightning_gen.bijections.coupling import Coupling
from lightning_gen.bijections.masks import mask
from lightning_gen.bijections.mixture_cdf import MixtureCDF, MixtureCDFAffine, probit
from lightning_gen.errors import UserError
from lightning_gen.nn.conditioner import MLPConditioner

OUTPUTS = ["uniform", "logistic", "normal"]
FAMILIES = ["logistic", "normal"]
ALL = [*itertools.product(OUTPUTS, FAMILIES)]


def coupling(transform):
    (size,) = transform.event_shape
    network = MLPConditioner((size,), transform.num_parameters * size, [5], activation="tanh")
    return perturbed(Coupling(mask("alternate", (size,)), network, transform))


def random_mixture(output="logistic", family="logistic", count=60, components=4):
    transform = MixtureCDF((3,), components, output, family)
    return transform, torch.randn(count, transform.num_parameters, 3)


def moments(transform, parameters):
    """Mean and standard deviation of every mixture."""
    log_weights, means, log_scales = transform.mixture(parameters)
    weights, unit = log_weights.exp(), math.pi**2 / 3 if transform.family == "logistic" else 1.0
    mean = (weights * means).sum(1)
    return mean, ((weights * (means.square() + unit * (2 * log_scales).exp())).sum(1) - mean.square()).sqrt()


@pytest.mark.parametrize(("output", "family"), ALL)
def test_a_coupling_of_mixture_cdfs_is_a_bijection(output, family):
    check_bijection(coupling(MixtureCDF((4,), 3, output, family)), torch.randn(3, 4))


def test_a_coupling_of_flow_plus_plus_is_a_bijection():
    check_bijection(coupling(MixtureCDFAffine((4,), 3)), torch.randn(3, 4))


@pytest.mark.parametrize(("output", "family"), ALL)
def test_the_inverse_is_exact_within_the_central_six_sigma(output, family):
    transform, parameters = random_mixture(output, family)
    mean, deviation = moments(transform, parameters)
    for sigmas in torch.linspace(-3, 3, 7):
        x = mean + sigmas * deviation
        z, log_slope = transform(x, parameters)
        # Near 1 a number has too few digits to say where it came from: z's own rounding is all that may be missing.
        lost = 4e-16 * torch.exp(-log_slope) if output == "uniform" else 0.0
        assert ((transform.inverse(z, parameters) - x).abs() <= 1e-8 * (1 + x.abs()) + lost).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("output", "family"), ALL)
def test_far_tails_are_finite_and_monotone_in_both_directions(output, family, dtype):
    transform, parameters = random_mixture(output, family, count=1)
    transform, parameters = transform.to(dtype), parameters.to(dtype)
    far = torch.logspace(0, 6, 25, dtype=dtype)
    x = torch.cat([-far.flip(0), far]).view(-1, 1).expand(-1, 3)
    z, log_slope = transform(x, parameters)
    again = transform.inverse(z, parameters)
    for values in (z, again):
        assert (values.diff(dim=0) >= 0).all()
    assert all(values.isfinite().all() for values in (z, log_slope, again))
    if output != "uniform":
        torch.testing.assert_close(again, x, rtol=1e-3 if dtype == torch.float32 else 1e-9, atol=1e-5)
    elif dtype == torch.float64:
        assert ((z >= 0) & (z <= 1)).all()


@pytest.mark.parametrize("output", OUTPUTS)
def test_noise_at_the_ends_of_its_range_comes_from_finite_data(output):
    transform, parameters = random_mixture(output, count=1)
    ends = {"uniform": [0.0, 1.0], "logistic": [-700.0, 700.0], "normal": [-40.0, 40.0]}[output]
    x = transform.inverse(torch.tensor(ends).view(2, 1).expand(2, 3), parameters)
    assert x.isfinite().all()
    assert (x[0] < x[1]).all()


@pytest.mark.parametrize("family", FAMILIES)
def test_the_slope_onto_uniform_noise_is_the_mixtures_density(family):
    transform, parameters = random_mixture("uniform", family)
    log_weights, means, log_scales = transform.mixture(parameters)
    x = 3 * torch.randn(60, 3)
    u = (x.unsqueeze(1) - means) / log_scales.exp()
    standard = torch.sigmoid(u) * torch.sigmoid(-u) if family == "logistic" else torch.exp(-0.5 * u**2) / math.sqrt(2 * math.pi)
    density = (log_weights.exp() * standard / log_scales.exp()).sum(1)
    torch.testing.assert_close(transform(x, parameters)[1], density.log(), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("family", FAMILIES)
def test_all_kinds_of_noise_give_one_density(family):
    prior = {
        "uniform": torch.zeros_like,
        "logistic": lambda z: -torch.nn.functional.softplus(z) - torch.nn.functional.softplus(-z),
        "normal": torch.distributions.Normal(0.0, 1.0).log_prob,
    }
    x, (_, parameters) = 3 * torch.randn(60, 3), random_mixture()
    densities = []
    for output in OUTPUTS:
        z, log_slope = MixtureCDF((3,), 4, output, family)(x, parameters)
        densities.append(prior[output](z) + log_slope)
    torch.testing.assert_close(densities[1], densities[0], rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(densities[2], densities[0], rtol=1e-9, atol=1e-9)


def test_narrow_components_far_apart_are_inverted_where_there_is_mass():
    """Newton's method alone would leave the plateau between the two for nowhere."""
    transform = MixtureCDF((1,), 2, "uniform")
    parameters = torch.tensor([0.0, 0.0, -100.0, 100.0, -3.0, -3.0]).view(1, 6, 1)
    z = torch.linspace(0.01, 0.99, 99).view(-1, 1)
    x = transform.inverse(z, parameters)
    torch.testing.assert_close(transform(x, parameters)[0], z, rtol=0, atol=1e-12)
    assert ((x < -90) == (z < 0.5 - 1e-9))[z != 0.5].all()


def test_an_items_inverse_does_not_depend_on_the_others():
    transform, parameters = random_mixture()
    z = torch.randn(60, 3)
    together = transform.inverse(z, parameters)
    for item in (0, 37, 59):
        torch.testing.assert_close(
            together[item : item + 1], transform.inverse(z[item : item + 1], parameters[item : item + 1]), rtol=0, atol=1e-13
        )


@pytest.mark.parametrize(("output", "family"), [("uniform", "logistic"), ("normal", "normal")])
def test_the_inverse_has_the_gradients_of_the_implicit_function(output, family):
    transform = MixtureCDF((1,), 2, output, family)
    parameters, z = torch.randn(2, 6, 1), torch.rand(2, 1) * 0.8 + 0.1
    assert torch.autograd.gradcheck(transform.inverse, (z.requires_grad_(), parameters.requires_grad_()), atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_it_starts_near_the_identity_with_components_that_differ(family):
    transform = MixtureCDF((1,), 8, family, family)
    x = torch.linspace(-3, 3, 31).view(-1, 1)
    z, log_slope = transform(x, torch.zeros(31, 24, 1))
    assert (z - x).abs().max() < 0.1
    assert log_slope.abs().max() < 0.15
    _, means, _ = transform.mixture(torch.zeros(1, 24, 1))
    assert (means.flatten().diff() > 0.05).all()
    one = MixtureCDF((1,), 1, family, family)
    torch.testing.assert_close(one(x, torch.zeros(31, 3, 1))[0], x, rtol=1e-9, atol=1e-9)


def test_the_probit_is_the_normal_quantile_and_goes_on_where_probabilities_underflow():
    z = torch.linspace(-8, 8, 65)
    torch.testing.assert_close(probit(torch.special.log_ndtr(z), torch.special.log_ndtr(-z)), z, rtol=1e-10, atol=1e-10)
    far = torch.tensor([-1e5, -1e3, -60.0, -38.0])
    torch.testing.assert_close(probit(torch.special.log_ndtr(far), torch.special.log_ndtr(-far)), far, rtol=1e-10, atol=0)
    assert torch.autograd.gradcheck(lambda log: probit(log, torch.log(-torch.expm1(log))), torch.tensor([-3.0, -0.8]).requires_grad_())


def test_a_mixture_of_nothing_is_refused():
    with pytest.raises(UserError, match="num_components: expected at least 1, got 0"):
        MixtureCDF((1,), 0)
