"""A normal bent by a flow: a density, the same for its own draws and for any other z, for one draw per image or many."""

import pytest
import torch

from lightning_gen.bijections.autoregressive import Autoregressive, Gate
from lightning_gen.bijections.base import Chain
from lightning_gen.distributions.autoregressive_normal import AutoregressiveNormal
from lightning_gen.distributions.normal import DiagonalNormal
from lightning_gen.nn.masked import MaskedMLP
from lightning_gen.noise import IndexedNoise

pytestmark = pytest.mark.usefixtures("float64")


def bent_normal(count=3, size=2, scale=0.7):
    networks = [MaskedMLP(size, 2, [8], order, context_features=4, activation="tanh") for order in (None, torch.arange(size).flip(0))]
    for network in networks:
        for parameter in network.parameters():
            torch.nn.init.normal_(parameter, std=scale)
    flow = Chain([Autoregressive(network, Gate((size,))) for network in networks]).double()
    return AutoregressiveNormal(DiagonalNormal(torch.randn(count, size), 0.3 * torch.randn(count, size)), flow, torch.randn(count, 4))


@torch.no_grad()
def test_it_integrates_to_one():
    axis = torch.linspace(-12, 12, 241)
    grid = torch.cartesian_prod(axis, axis)
    log_prob = bent_normal().log_densities(grid)
    integral = log_prob.exp().sum(0) * (axis[1] - axis[0]) ** 2
    torch.testing.assert_close(integral, torch.ones(3), rtol=1e-3, atol=0)


@torch.no_grad()
def test_the_density_of_an_own_draw_is_that_of_the_same_numbers_from_elsewhere():
    posterior = bent_normal(size=6)
    z = posterior.sample(IndexedNoise(0, range(3)), "z", (6,))
    remembered = posterior.log_prob(z)
    assert remembered is posterior.last_draw[1]
    torch.testing.assert_close(posterior.log_prob(z.clone()), remembered, rtol=1e-10, atol=1e-10)


@torch.no_grad()
def test_another_draw_of_the_same_distribution_is_not_taken_for_the_last_one():
    posterior = bent_normal(size=6)
    first = posterior.sample(IndexedNoise(0, range(3)), "first", (6,))
    of_first = posterior.log_prob(first)
    second = posterior.sample(IndexedNoise(0, range(3)), "second", (6,))
    torch.testing.assert_close(posterior.log_prob(first), of_first, rtol=1e-10, atol=1e-10)
    assert (posterior.log_prob(second) != of_first).all()


@torch.no_grad()
def test_repeated_draws_are_draws_of_each_images_own_distribution():
    posterior = bent_normal(size=6)
    repeated = posterior.repeated()
    z = repeated.sample(IndexedNoise(0, range(3)), "z", (5, 6))
    assert z.shape == (3, 5, 6)
    assert repeated.log_prob(z).shape == (3, 5)
    for draw in range(5):
        torch.testing.assert_close(posterior.log_prob(z[:, draw]), repeated.log_prob(z)[:, draw], rtol=1e-10, atol=1e-10)


def test_the_two_ways_to_the_density_have_the_same_gradients():
    """Through the draw, and through the inverse of it, where z is held."""
    posterior = bent_normal(size=4)
    wanted = list(posterior.flow.parameters())
    z = posterior.sample(IndexedNoise(0, range(3)), "z", (4,))
    total = torch.autograd.grad(posterior.log_prob(z).sum(), wanted, retain_graph=True)
    through_inverse = torch.autograd.grad(posterior.log_prob(z.clone()).sum(), wanted)
    for one, other in zip(total, through_inverse, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-8)


def test_detached_it_is_the_same_density_without_gradients_to_what_made_it():
    posterior = bent_normal(size=4)
    z = torch.randn(3, 4, requires_grad=True)
    posterior.detached().log_prob(z).sum().backward()
    assert z.grad.abs().gt(0).all()
    assert all(parameter.grad is None for parameter in posterior.flow.parameters())
    torch.testing.assert_close(posterior.detached().log_prob(z), posterior.log_prob(z))


def test_a_gate_that_is_open_leaves_the_normal_as_it_is():
    posterior = bent_normal(size=4)
    with torch.no_grad():
        for layer in posterior.flow.bijections:
            for parameter in layer.network.layers[-1].parameters():
                parameter.zero_()
            layer.network.layers[-1].bias[:4] = 50.0
    z = posterior.sample(IndexedNoise(0, range(3)), "z", (4,))
    assert torch.equal(z, posterior.base.sample(IndexedNoise(0, range(3)), "z", (4,)))
    torch.testing.assert_close(posterior.log_prob(z), posterior.base.log_prob(z), rtol=1e-12, atol=0)
    assert torch.equal(posterior.mean, posterior.base.mean)
