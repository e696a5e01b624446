"""Autoregressive layers: bijections in both directions, whose inverse is that of the D-pass loop, bit by bit, and so is its gradient."""

import pytest
import torch
from bijection_checks import check_bijection, perturbed

from lightning_gen.bijections.autoregressive import Autoregressive, Gate, fixed_point
from lightning_gen.bijections.base import Chain, Inverse
from lightning_gen.bijections.shapes import Permutation
from lightning_gen.bijections.transforms import Additive, Affine, SigmoidAffine, TanhAffine
from lightning_gen.nn.masked import MaskedMLP

TRANSFORMS = [Additive, Affine, TanhAffine, SigmoidAffine, Gate]
ORDER = torch.tensor([2, 0, 4, 1, 3])


def layer(transform=Affine, size=5, order=None, context_features=0, hidden=(16,)):
    applied = transform((size,))
    network = MaskedMLP(size, applied.num_parameters, list(hidden), order, context_features, activation="tanh")
    return perturbed(Autoregressive(network, applied)).double()


def solved_one_by_one(bijection, z, order=None, context=None):
    """The inverse as the papers have it: D passes, each of which decides one number; differentiable."""
    x = torch.zeros_like(z)
    for place in range(z.shape[1]):
        here = torch.arange(z.shape[1]) == place if order is None else order == place
        x = torch.where(here, bijection.transform.inverse(z, bijection.parameters_of(x, context)), x)
    return x


@pytest.mark.parametrize("order", [None, ORDER])
@pytest.mark.parametrize("transform", TRANSFORMS)
def test_an_autoregressive_layer_of_any_transform_is_a_bijection_that_sees_its_context(transform, order):
    bijection = layer(transform, order=order, context_features=3)
    x, context = torch.randn(3, 5), torch.randn(3, 3)
    check_bijection(bijection, x, context)
    assert (bijection(x, context)[0] != bijection(x, context + 1)[0]).all()


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_its_inverse_is_a_bijection_whose_log_determinant_and_gradients_are_right(transform):
    check_bijection(Inverse(layer(transform, context_features=3)), torch.randn(3, 5), torch.randn(3, 3))


def test_chains_of_layers_in_opposite_orders_are_bijections_either_way():
    layers = [layer(), Permutation.reverse(5), layer(), Permutation.reverse(5)]
    check_bijection(Chain(layers), torch.randn(3, 5))
    check_bijection(Inverse(Chain(layers)), torch.randn(3, 5))


@pytest.mark.parametrize("order", [None, ORDER])
@pytest.mark.parametrize("transform", TRANSFORMS)
def test_the_fixed_point_is_what_the_loop_over_the_numbers_finds(transform, order):
    bijection, z = layer(transform, order=order), torch.randn(7, 5)
    with torch.no_grad():
        assert torch.equal(bijection.inverse(z), solved_one_by_one(bijection, z, order))


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_the_gradients_of_the_solution_are_those_of_autograd_through_the_loop(transform):
    """Of what goes in, of the context and of every parameter, the transform's own too."""
    bijection = layer(transform, order=ORDER, context_features=2)
    z, context = torch.randn(4, 5, requires_grad=True), torch.randn(4, 2, requires_grad=True)
    wanted = [z, context, *bijection.parameters()]
    weights = torch.randn(4, 5)

    def gradients(x):
        return torch.autograd.grad((x * weights).sum() + (x**3).sum(), wanted)

    for ours, theirs in zip(
        gradients(bijection.inverse(z, context)), gradients(solved_one_by_one(bijection, z, ORDER, context)), strict=True
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)


def test_the_log_density_of_the_inverse_has_the_gradients_of_autograd_through_the_loop():
    bijection, x = layer(), torch.randn(4, 5)

    def gradients(z):
        log_prob = -0.5 * z.square().sum(1) - bijection(z)[1]
        return torch.autograd.grad(log_prob.sum(), list(bijection.parameters()))

    for ours, theirs in zip(gradients(bijection.inverse(x)), gradients(solved_one_by_one(bijection, x)), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)


def counted(bijection):
    """The layer, and a list that grows by one with each pass of its network."""
    passes = []
    bijection.network.register_forward_hook(lambda *_: passes.append(1))
    return bijection, passes


def test_the_solution_needs_at_most_one_pass_per_number_and_far_fewer_where_little_depends_on_much():
    z = torch.randn(4, 30)
    with torch.no_grad():
        bijection, passes = counted(layer(size=30, hidden=(40,)))
        bijection.inverse(z)
        assert 2 <= len(passes) <= 30
        bijection, passes = counted(Autoregressive(MaskedMLP(30, 2, [40]), Affine((30,))))
        bijection.inverse(z)
    assert len(passes) == 2  # the identity: one pass finds it, the other one proves it


def test_items_do_not_depend_on_what_else_is_in_the_batch():
    """The hard item takes more passes than the easy ones, which have long been done."""
    bijection = layer(size=20, hidden=(40,))
    z = torch.randn(6, 20)
    with torch.no_grad():
        among_easy = bijection.inverse(torch.cat([z[:1], torch.zeros(5, 20)]))[0]
        among_hard = bijection.inverse(torch.cat([z[:1], 50 * z[1:]]))[0]
    assert torch.equal(among_easy, among_hard)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_what_is_not_finite_ends_and_stays_where_it_is(bad):
    bijection, passes = counted(layer(size=20, hidden=(40,)))
    z = torch.randn(3, 20)
    with torch.no_grad():
        good = bijection.inverse(z)
        z[1, 7] = bad
        passes.clear()
        x = bijection.inverse(z)
    assert len(passes) <= 20
    assert torch.equal(x[[0, 2]], good[[0, 2]])
    assert torch.equal(x[1, :7], good[1, :7])
    assert not x[1, 7].isfinite()


def test_a_network_of_nan_ends():
    bijection, passes = counted(layer())
    with torch.no_grad():
        bijection.network.layers[0].bias.fill_(float("nan"))
        assert bijection.inverse(torch.randn(2, 5)).isnan().any()
    assert len(passes) <= 5


@pytest.mark.parametrize("far_off", [float("nan"), float("inf"), -float("inf"), 3e38])
@torch.no_grad()
def test_a_guess_that_has_overflowed_does_no_harm_to_the_numbers_before_it(far_off):
    network = MaskedMLP(5, 2, [16, 16], activation="relu")
    bijection, z = perturbed(Autoregressive(network, Affine((5,))), scale=10).float(), torch.randn(7, 5).float()
    guess = torch.randn(7, 5).float()
    expected = bijection.improved(guess, z, None)[:, :4]
    guess[:, 3:] = far_off
    assert torch.equal(bijection.improved(guess, z, None)[:, :4], expected)


def test_a_gate_is_the_papers_and_starts_nearly_open():
    gate, x, raw = Gate((3,)), torch.randn(2, 3), torch.randn(2, 2, 3)
    z, log_slope = gate(x, raw)
    sigma = torch.sigmoid(raw[:, 0] + 2)
    torch.testing.assert_close(z, sigma * x + (1 - sigma) * raw[:, 1])
    torch.testing.assert_close(log_slope, sigma.log())
    closed = gate(x, torch.full((2, 2, 3), -500.0))
    assert closed[0].isfinite().all()
    assert closed[1].isfinite().all()


def test_an_iteration_stops_when_nothing_changes_and_after_the_most_steps():
    steps = []

    def halved(x):
        steps.append(1)
        return (x / 2).floor()

    assert fixed_point(halved, torch.tensor([9.0]), 100).item() == 0
    assert len(steps) == 5  # 4, 2, 1, 0, and 0 again
    assert fixed_point(halved, torch.tensor([9.0]), 2).item() == 2


def test_the_network_of_a_layer_can_be_compiled():
    bijection, z = layer(), torch.randn(3, 5)
    before = bijection.inverse(z)
    bijection.network.compile(backend="aot_eager")
    after = bijection.inverse(z)
    torch.testing.assert_close(after, before, rtol=1e-12, atol=1e-12)
    after.sum().backward()
