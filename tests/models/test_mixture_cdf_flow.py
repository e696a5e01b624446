"""Mixture-CDF flows: densities that integrate to 1, histograms that become noise, images that come back."""

import math

import numpy as np
import pytest
import torch

from lightning_gen.errors import UserError
from lightning_gen.models import MixtureCDFFlow
from lightning_gen.noise import IndexedNoise

KINDS = [("uniform", "logistic"), ("logistic", "normal"), ("normal", "logistic")]


def random_flow(data_shape, scale=0.5, **options):
    torch.set_default_dtype(torch.float64)
    model = MixtureCDFFlow(data_shape, num_components=3, hidden=[8], **options)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(scale * torch.randn_like(parameter))
    return model.eval()


def density(model, points):
    with torch.no_grad():
        return model.log_prob(points, noise=IndexedNoise(0, range(len(points)))).exp()


@pytest.mark.parametrize(("noise", "components"), KINDS)
def test_a_density_on_the_line_integrates_to_one(noise, components):
    x = torch.linspace(-60, 60, 20001, dtype=torch.float64).view(-1, 1)
    mass = torch.trapezoid(density(random_flow([1], noise=noise, components=components), x), x[:, 0])
    assert abs(mass.item() - 1) < 1e-3


@pytest.mark.parametrize(("noise", "components"), KINDS)
def test_a_density_in_the_plane_integrates_to_one(noise, components):
    model = random_flow([2], noise=noise, components=components)
    # Each axis through a sinh, dense in the middle and far out at the ends.
    t = torch.linspace(-6, 6, 401, dtype=torch.float64)
    axis, weight = torch.sinh(t) / 2, torch.cosh(t) / 2
    values = density(model, torch.cartesian_prod(axis, axis)).view(401, 401)
    mass = torch.trapezoid(torch.trapezoid(values * weight, t, dim=1) * weight, t)
    assert abs(mass.item() - 1) < 1e-3


def test_a_numbers_mixture_depends_on_the_numbers_before_it_alone():
    model = random_flow([3])
    x = torch.randn(1, 3)
    jacobian = torch.autograd.functional.jacobian(lambda v: model.bijection(v.view(1, 3))[0][0], x[0])
    assert torch.equal(jacobian.triu(1), torch.zeros(3, 3))
    assert (jacobian.tril() != 0).sum() == 6


def two_gaussians(count):
    random = np.random.default_rng(0)
    return torch.from_numpy(random.choice([-2.0, 2.0], count) + 0.5 * random.standard_normal(count)).float().view(-1, 1)


def trained(data, **options):
    model = MixtureCDFFlow(data_shape=[1], learning_rate=0.03, **options)
    batch = (data, torch.zeros(len(data)))
    model.initialize_from_data(batch, IndexedNoise(0, range(len(data))))
    optimizer = model.configure_optimizers()
    for _ in range(150):
        optimizer.zero_grad()
        model.negative_log_likelihood(batch, IndexedNoise(0, range(len(data))))["loss"].backward()
        optimizer.step()
    return model.eval()


def test_a_histogram_becomes_uniform_and_its_likelihood_the_true_one():
    data = two_gaussians(1000)
    model = trained(data, noise="uniform", components="normal")
    with torch.no_grad():
        z = model.encode(data)[:, 0].sort().values
        nats = -model.log_prob(data, noise=IndexedNoise(0, range(1000))).mean()
    assert (z - torch.linspace(0, 1, 1000)).abs().max() < 0.04  # Kolmogorov and Smirnov's statistic
    # Two normals that hardly overlap: the entropy of one, and one bit.
    assert abs(nats.item() - (0.5 * math.log(2 * math.pi * math.e * 0.25) + math.log(2))) < 0.06


@pytest.mark.parametrize("noise", ["logistic", "normal"])
def test_images_come_back_from_noise(noise):
    model = random_flow([1, 4, 4], scale=0.2, noise=noise)
    images = torch.randint(0, 256, (8, 1, 4, 4), dtype=torch.uint8)
    with torch.no_grad():
        assert torch.equal(model.decode(model.encode(images)), images)


def test_samples_are_where_their_uniform_noise_says():
    model = random_flow([1], noise="uniform")
    noise = IndexedNoise(0, range(64))
    with torch.no_grad():
        torch.testing.assert_close(model.encode(model.sample_images(noise)), noise.uniform("z", (1,)), rtol=0, atol=1e-9)


def test_uniform_noise_has_no_temperature():
    with pytest.raises(UserError, match=r"model\.temperature: uniform noise has no temperature; expected 1, got 0\.7"):
        MixtureCDFFlow([1], noise="uniform", temperature=0.7)
    MixtureCDFFlow([1], noise="normal", temperature=0.7)
