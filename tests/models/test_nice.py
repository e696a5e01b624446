"""NICE: halves that change in turn, volumes that only the last scale changes, and a logistic prior both ways."""

import math

import pytest
import torch

from lightning_gen.bijections.coupling import SplitCoupling
from lightning_gen.errors import UserError
from lightning_gen.models import NICE
from lightning_gen.noise import IndexedNoise


@pytest.fixture(autouse=True)
def wide(deterministic):
    torch.set_default_dtype(torch.float64)


def nice(shape=(1, 4, 4), scale=0.2, **options):
    model = NICE(list(shape), hidden=[7, 7], **options).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(scale * torch.randn_like(parameter))
    return model.eval()


@pytest.mark.parametrize("shape", [(1, 4, 4), (1, 3, 3), (2,), (5,)])
def test_its_log_determinant_is_that_of_the_jacobian_and_of_the_scale_alone(shape):
    model = nice(shape)
    x = torch.rand(1, *shape)
    z, log_det = model.bijection(x)
    jacobian = torch.autograd.functional.jacobian(lambda v: model.bijection(v.view(1, *shape))[0].flatten(), x.flatten())
    torch.testing.assert_close(log_det[0], torch.linalg.slogdet(jacobian).logabsdet)
    torch.testing.assert_close(log_det[0], model.bijection.bijections[-1].log_scale.sum())
    torch.testing.assert_close(model.bijection.inverse(z), x, rtol=1e-8, atol=1e-8)
    assert (jacobian != torch.diag(jacobian.diagonal())).any()


def changing(model, coupling):
    """Which numbers of the data the coupling changes, by their positions in the flattened image."""
    *layers, _ = model.bijection.bijections
    couplings = [index for index, layer in enumerate(layers) if isinstance(layer, SplitCoupling)]
    x = torch.arange(1.0, math.prod(model.data_shape) + 1).view(1, *model.data_shape)
    for layer in layers[: couplings[coupling]]:
        if not isinstance(layer, SplitCoupling):
            x = layer(x)[0]
    return sorted((x[0, x.shape[1] - x.shape[1] // 2 :] - 1).int().tolist())


def test_every_second_number_changes_then_the_others():
    model = nice((1, 2, 4))
    assert [changing(model, index) for index in range(4)] == [[1, 3, 5, 7], [0, 2, 4, 6]] * 2


@pytest.mark.parametrize("size", [3, 5, 9])
def test_of_an_odd_number_every_one_changes_within_four_couplings(size):
    model = nice((size,))
    assert {number for index in range(4) for number in changing(model, index)} == set(range(size))


def test_samples_of_z_are_logistic_and_not_normal():
    """Mean 0, variance pi^2 / 3, and a kurtosis of 4.2 where a normal's is 3."""
    z = nice().draw_latents(IndexedNoise(0, range(20000))).flatten()
    assert abs(z.mean()) < 0.02
    assert z.var() == pytest.approx(math.pi**2 / 3, rel=0.01)
    assert (z**4).mean() / z.var() ** 2 == pytest.approx(4.2, abs=0.1)
    ends = torch.sigmoid(z).sort().values
    assert (ends - torch.linspace(0, 1, len(z))).abs().max() < 0.005, "Kolmogorov-Smirnov distance"


def test_densities_have_the_same_prior_as_samples():
    model = nice((3,))
    x = torch.randn(4, 3)
    z, log_det = model.bijection(x)
    expected = (-z - 2 * torch.log1p(torch.exp(-z))).sum(1) + log_det
    torch.testing.assert_close(model.log_prob(x, noise=IndexedNoise(0, range(4))), expected)


def test_a_density_of_two_numbers_integrates_to_one():
    model = nice((2,))
    axis = torch.linspace(-30, 30, 601)
    grid = torch.cartesian_prod(axis, axis)
    with torch.no_grad():
        density = model.log_prob(grid, noise=IndexedNoise(0, range(len(grid)))).exp()
    assert (density.sum() * (axis[1] - axis[0]) ** 2).item() == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 5, 5)])
def test_bytes_come_back_from_their_latents(shape):
    model = nice(shape)
    x = torch.randint(0, 256, (4, *shape), dtype=torch.uint8)
    with torch.no_grad():
        assert torch.equal(model.decode(model.encode(x)), x)


def test_its_networks_are_those_of_the_paper():
    """4 networks of half of the dimensions - 5 x 1000 - the other half, and one scale per dimension."""
    sizes = [392, 1000, 1000, 1000, 1000, 1000, 392]
    network = sum(before * after + after for before, after in zip(sizes, sizes[1:], strict=False))
    assert sum(parameter.numel() for parameter in NICE([1, 28, 28]).parameters()) == 4 * network + 784


def test_what_cannot_be_divided_is_refused():
    with pytest.raises(UserError, match=r"model\.data_shape: NICE needs at least two numbers to divide, got \[1\]"):
        NICE([1])
    with pytest.raises(UserError, match=r"model\.num_couplings: expected at least 1, got 0"):
        NICE([1, 8, 8], num_couplings=0)
