"""MADE's network: causal in every order, and the same whether computed at once or place by place."""

import pytest
import torch
from causal_checks import check_causal, check_samples, check_steps

from lightning_gen.distributions.pixels.categorical import Categorical
from lightning_gen.errors import UserError
from lightning_gen.nn.causal.base import Places, generation_order
from lightning_gen.nn.causal.made import MADENetwork

GREY = Places((3, 4), groups=1, in_features=1, num_parameters=4)
COLOUR = Places((2, 3), groups=3, in_features=1, num_parameters=4)
CODES = Places((3, 3), groups=1, in_features=5, num_parameters=6, context_features=2)
CASES = {
    "no hidden layer": (GREY, {"hidden": []}),
    "one layer": (GREY, {"hidden": [20], "activation": "tanh"}),
    "two layers, diagonal": (COLOUR, {"hidden": [40, 50], "order": "diagonal", "activation": "silu"}),
    "a layer that is too narrow": (COLOUR, {"hidden": [7, 5], "activation": "tanh"}),
    "codes and a context, random": (CODES, {"hidden": [30, 30], "order": "random", "order_seed": 1, "activation": "tanh"}),
    "no hidden layer, a context": (CODES, {"hidden": []}),
}


@pytest.fixture(params=CASES)
def network(request):
    places, options = CASES[request.param]
    return MADENetwork(places, **options)


@pytest.mark.usefixtures("float64")
def test_a_place_depends_on_all_earlier_ones_and_on_no_other(network):
    check_causal(network)


def test_steps_give_what_one_pass_gives(network):
    check_steps(network)


@pytest.mark.parametrize("name", ["one layer", "two layers, diagonal"])
def test_samples_are_those_of_the_naive_sampler(name):
    places, options = CASES[name]
    check_samples(MADENetwork(places, **options), Categorical(places.groups, 2))


def test_orders_visit_every_place_once_and_the_colours_of_a_pixel_together():
    for name in ("raster", "diagonal", "random"):
        order = generation_order(name, COLOUR)
        assert sorted(order.tolist()) == list(range(18))
        assert torch.equal(order.view(-1, 3) % 3, torch.arange(3).expand(6, 3))
    assert generation_order("diagonal", Places((3, 3), 1, 1, 1)).tolist() == [0, 1, 3, 2, 4, 6, 5, 7, 8]
    assert not torch.equal(generation_order("random", COLOUR, 0), generation_order("random", COLOUR, 1))


@pytest.mark.parametrize("order", ["raster", "diagonal"])
def test_a_seed_of_an_order_that_has_none_is_refused(order):
    with pytest.raises(UserError, match=rf"order_seed: the {order} order has none; expected nothing, got 3"):
        MADENetwork(GREY, order=order, order_seed=3)
