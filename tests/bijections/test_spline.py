"""Splines are increasing bijections of the line that join the identity smoothly."""

import math

import pytest
import torch
from bijection_checks import check_bijection, perturbed

from lightning_gen.bijections.coupling import Coupling, SplitCoupling
from lightning_gen.bijections.masks import mask
from lightning_gen.bijections.spline import RationalQuadraticSpline
from lightning_gen.errors import UserError
from lightning_gen.nn.conditioner import MLPConditioner, WeightNormResNet


def wild(num_bins=5, bound=3.0, scale=3.0, count=40):
    """Splines with bins of very unequal sizes and slopes, one for each item."""
    spline = RationalQuadraticSpline((1,), num_bins, bound)
    return spline, scale * torch.randn(count, spline.num_parameters, 1)


def slope(spline, x, parameters):
    """dz/dx by autograd."""
    x = x.clone().requires_grad_()
    return torch.autograd.grad(spline(x, parameters)[0].sum(), x)[0]


def test_a_masked_coupling_of_splines_is_a_bijection():
    spline = RationalQuadraticSpline((2, 4, 3), num_bins=4)
    network = WeightNormResNet(2, spline.num_parameters * 2, width=4, num_blocks=1)
    coupling = perturbed(Coupling(mask("checkerboard", (2, 4, 3)), network, spline))
    check_bijection(coupling, 3 * torch.randn(3, 2, 4, 3))


def test_a_split_coupling_of_splines_is_a_bijection():
    spline = RationalQuadraticSpline((2,), num_bins=3, bound=1.0)
    coupling = perturbed(SplitCoupling(MLPConditioner((3,), spline.num_parameters * 2, [7], activation="tanh"), spline))
    check_bijection(coupling, torch.randn(4, 5))


@pytest.mark.parametrize("scale", [0.1, 3.0, 30.0])
def test_the_inverse_comes_back_to_every_number_whatever_the_network_says(scale):
    spline, parameters = wild(num_bins=9, scale=scale)
    x = torch.linspace(-4, 4, 501).view(1, -1, 1).expand(40, -1, -1).reshape(-1, 1)
    parameters = parameters.repeat_interleave(501, dim=0)
    z, log_slope = spline(x, parameters)
    # Where z hardly depends on x, a last-bit difference of z is worth more of x: the slope says how much.
    assert ((spline.inverse(z, parameters) - x).abs() <= 1e-8 + 1e-14 * torch.exp(-log_slope)).all()
    assert ((spline(spline.inverse(x, parameters), parameters)[0] - x).abs() <= 1e-8).all()


def test_splines_increase_and_say_their_slope():
    spline, parameters = wild()
    x = torch.linspace(-3.5, 3.5, 1001).view(-1, 1)
    for given in parameters.split(1):
        repeated = given.expand(len(x), -1, -1)
        z, log_slope = spline(x, repeated)
        assert (z.diff(dim=0) > 0).all()
        torch.testing.assert_close(slope(spline, x, repeated), log_slope.exp())


def test_values_and_slopes_at_the_knots_are_those_asked_for_from_both_sides():
    spline, parameters = wild()
    x, z, slopes = spline.knots(parameters)
    for number in range(6):
        place = x[:, number]
        torch.testing.assert_close(spline(place, parameters)[0], z[:, number])
        for side in (-1e-10, 1e-10):
            torch.testing.assert_close(spline(place + side, parameters)[1].exp(), slopes[:, number], rtol=1e-3, atol=1e-3)
    assert torch.equal(slopes[:, [0, -1]], torch.ones(40, 2, 1))
    assert torch.equal(x[:, [0, -1], 0], torch.tensor([-3.0, 3.0]).expand(40, 2))


def test_beyond_the_bound_nothing_happens():
    spline, parameters = wild(bound=2.0, count=6)
    x = torch.tensor([[-1e6], [-2.5], [-2.0], [2.0], [2.5], [torch.inf]])
    z, log_slope = spline(x, parameters)
    assert torch.equal(z, x)
    assert torch.equal(spline.inverse(x, parameters), x)
    assert not log_slope.any()


def test_beyond_the_bound_gradients_are_finite():
    spline, parameters = wild(count=2)
    parameters.requires_grad_()
    z, log_slope = spline(torch.tensor([[-1e30], [1e30]]), parameters)
    (z.sum() + log_slope.sum()).backward()
    assert not parameters.grad.any()


def test_zeros_give_the_identity():
    spline = RationalQuadraticSpline((3,))
    x = 2 * torch.randn(50, 3)
    z, log_slope = spline(x, torch.zeros(50, spline.num_parameters, 3))
    torch.testing.assert_close(z, x, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(log_slope, torch.zeros(50, 3), rtol=0, atol=1e-12)


def test_a_bin_is_the_rational_function_of_the_paper():
    """One worked by hand: knots (-1, -1), (0, 0.5), (1, 1) with slopes 1, 2, 1; the middle of the first bin."""
    spline = RationalQuadraticSpline((1,), num_bins=2, bound=1.0, smallest_bin=1e-9, smallest_slope=1e-9)
    raw_slope = math.log(math.expm1(2)) - math.log(math.expm1(1))
    parameters = torch.tensor([0.0, 0.0, math.log(3.0), 0.0, raw_slope]).view(1, 5, 1)
    z, log_slope = spline(torch.tensor([[-0.5]]), parameters)
    # s = 1.5, xi = 1/2: z = -1 + 1.5 (1.5/4 + 1/4) / (1.5 + (1 + 2 - 3) / 4); z' = 1.5^2 (2/4 + 3/4 + 1/4) / 1.5^2
    torch.testing.assert_close(z, torch.tensor([[-0.375]]), rtol=1e-7, atol=1e-7)
    torch.testing.assert_close(log_slope.exp(), torch.tensor([[1.5]]), rtol=1e-7, atol=1e-7)


def test_bins_and_slopes_keep_their_smallest_size():
    spline = RationalQuadraticSpline((1,), num_bins=4, bound=1.0, smallest_bin=0.1, smallest_slope=0.2)
    x, z, slopes = spline.knots(1e3 * torch.randn(50, spline.num_parameters, 1))
    for knots in (x, z):
        assert knots.diff(dim=1).min() >= 0.2 - 1e-12
    assert slopes.min() >= 0.2


def test_in_float32_extreme_parameters_stay_finite_and_invertible():
    spline, parameters = wild(num_bins=16, scale=50.0, count=2000)
    parameters = parameters.float().requires_grad_()
    x = torch.linspace(-3.1, 3.1, 2000, dtype=torch.float32).view(-1, 1)
    z, log_slope = spline(x, parameters)
    (z.sum() + log_slope.sum()).backward()
    assert z.isfinite().all()
    assert log_slope.isfinite().all()
    assert parameters.grad.isfinite().all()
    back = spline.inverse(z, parameters)
    assert (spline(back, parameters)[0] - z).abs().max() < 1e-4


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"num_bins": 1}, "num_bins: expected at least 2, got 1"),
        ({"bound": 0.0}, "bound: expected a positive number"),
        ({"num_bins": 10, "smallest_bin": 0.1}, "num_bins: expected fewer than 10, of at least 0.1 each, got 10"),
        ({"smallest_slope": 1.0}, "smallest_slope: expected a number above 0 and below 1"),
    ],
)
def test_a_spline_that_cannot_be_is_refused(options, words):
    with pytest.raises(UserError, match=words):
        RationalQuadraticSpline((1,), **options)
