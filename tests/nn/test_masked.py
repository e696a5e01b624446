"""Masked networks: every parameter depends on all that comes before, on nothing else, in any order and at any width."""

import pytest
import torch

from lightning_gen.errors import UserError
from lightning_gen.nn.masked import MaskedMLP, hidden_degrees

ORDERS = {"as they stand": None, "reversed": torch.arange(5, -1, -1), "shuffled": torch.tensor([3, 0, 5, 1, 4, 2])}


def random_network(hidden, order=None, context_features=0, size=6, num_parameters=2):
    network = MaskedMLP(size, num_parameters, hidden, order, context_features, activation="tanh").double()
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return network


def dependencies(network, num_parameters=2, size=6, context=None):
    """The derivative of parameter p of number i by input j, ``(P, D, D)``."""
    jacobian = torch.autograd.functional.jacobian(lambda x: network(x, context)[0], torch.randn(1, size, dtype=torch.float64))
    return jacobian.view(num_parameters, size, size)


@pytest.mark.parametrize("context_features", [0, 3])
@pytest.mark.parametrize("hidden", [[], [5], [40, 30], [7, 3, 9], [1]])
@pytest.mark.parametrize("order", ORDERS)
def test_a_parameter_depends_on_all_that_comes_before_and_on_nothing_else(order, hidden, context_features):
    network = random_network(hidden, ORDERS[order], context_features)
    places = torch.arange(6) if ORDERS[order] is None else ORDERS[order]
    earlier = places[:, None] > places
    context = torch.randn(1, context_features).double() if context_features else None
    for of_parameter in dependencies(network, context=context):
        assert not of_parameter[~earlier].any()
        assert of_parameter[earlier].abs().gt(0).all()


@pytest.mark.parametrize("hidden", [[], [5], [4, 3], [20, 20]])
def test_every_parameter_depends_on_the_context_the_first_numbers_too(hidden):
    network = random_network(hidden, context_features=3)
    x, context = torch.randn(1, 6).double(), torch.randn(1, 3).double()
    jacobian = torch.autograd.functional.jacobian(lambda c: network(x, c)[0], context)
    assert jacobian.abs().amax(-1).gt(0).all()


@pytest.mark.parametrize("hidden", [[], [5], [40, 30], [2]])
@pytest.mark.parametrize("context_features", [0, 3])
def test_nothing_is_said_at_first(hidden, context_features):
    network = MaskedMLP(6, 3, hidden, context_features=context_features)
    assert not network(torch.randn(4, 6), torch.randn(4, 3)).any()


def test_every_degree_that_fits_has_a_unit_and_the_ends_always_have_one():
    assert hidden_degrees(6, 5).tolist() == [0, 1, 2, 3, 4]
    assert hidden_degrees(6, 6, lowest=-1).tolist() == [-1, 0, 1, 2, 3, 4]
    assert set(hidden_degrees(784, 1024).tolist()) == set(range(783))
    assert set(hidden_degrees(784, 784, -1).tolist()) == set(range(-1, 783))
    for width in (2, 3, 100):
        assert {0, 782} <= set(hidden_degrees(784, width).tolist())


def test_cut_weights_get_no_gradient_and_masks_are_not_saved():
    network = random_network([8, 8])
    network(torch.randn(5, 6).double()).square().sum().backward()
    for layer in network.layers:
        assert not layer.weight.grad[layer.mask == 0].any()
        assert layer.weight.grad[layer.mask == 1].any()
    assert not [name for name in network.state_dict() if "mask" in name]


def test_an_order_that_is_none_is_refused():
    with pytest.raises(UserError, match="order: expected a permutation of 0 to 2"):
        MaskedMLP(3, 2, [4], torch.tensor([0, 1, 1]))
