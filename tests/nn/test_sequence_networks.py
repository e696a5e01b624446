"""Networks over the sequence of places: causal, and the same whether computed at once or place by place."""

import pytest
import torch
from causal_checks import check_causal, check_samples, check_steps, dependence

from lightning_gen.distributions.pixels.categorical import Categorical
from lightning_gen.errors import UserError
from lightning_gen.nn.causal.base import Places
from lightning_gen.nn.causal.coordinate_pixel_rnn import CoordinatePixelRNNNetwork
from lightning_gen.nn.causal.image_transformer import ImageTransformerNetwork
from lightning_gen.nn.causal.sequence import RasterInputs, as_grid, as_sequence, shifted
from lightning_gen.nn.causal.wavenet import WaveNetNetwork

GREY = Places((3, 4), groups=1, in_features=1, num_parameters=4)
COLOUR = Places((2, 3), groups=3, in_features=1, num_parameters=4)
CODES = Places((3, 3), groups=2, in_features=5, num_parameters=6, context_features=2)
CASES = {
    "RNN": (CoordinatePixelRNNNetwork, GREY, {"hidden_size": 7}),
    "RNN of two layers, colours": (CoordinatePixelRNNNetwork, COLOUR, {"hidden_size": 6, "num_layers": 2}),
    "RNN without coordinates, codes": (CoordinatePixelRNNNetwork, CODES, {"hidden_size": 6, "coordinates": False}),
    "WaveNet": (WaveNetNetwork, GREY, {"dilations": [1, 2, 4, 8], "width": 6, "skip_width": 20}),
    "WaveNet of repeated dilations, colours": (WaveNetNetwork, COLOUR, {"dilations": [1, 2, 3, 5, 1, 5, 9], "width": 4, "skip_width": 20}),
    "WaveNet without coordinates, codes": (WaveNetNetwork, CODES, {"dilations": [7, 1, 2, 4, 5], "width": 4, "coordinates": False}),
    "transformer": (ImageTransformerNetwork, GREY, {"width": 8, "num_blocks": 2, "num_heads": 2}),
    "transformer, diagonal, colours": (ImageTransformerNetwork, COLOUR, {"width": 6, "num_blocks": 1, "num_heads": 1, "order": "diagonal"}),
    "transformer, random, codes": (ImageTransformerNetwork, CODES, {"width": 8, "num_blocks": 2, "order": "random", "order_seed": 1}),
}


@pytest.fixture(params=CASES)
def network(request):
    return build(request.param)


def build(name, **changes):
    cls, places, options = CASES[name]
    return cls(places, **options | changes)


@pytest.mark.usefixtures("float64")
def test_a_place_depends_on_all_earlier_ones_and_on_no_other(network):
    check_causal(network)


def test_steps_give_what_one_pass_gives(network):
    check_steps(network)


@pytest.mark.parametrize("name", [name for name in CASES if "codes" not in name])
def test_samples_are_those_of_the_naive_sampler(name):
    network = build(name)
    check_samples(network, Categorical(network.places.groups, 2))


@pytest.mark.usefixtures("float64")
def test_a_wavenet_sees_as_many_places_as_its_dilations_say():
    network = build("WaveNet", dilations=[1, 2]).double()
    places = torch.arange(GREY.count)
    distance = places[:, None] - places
    depends = dependence(network, torch.randn(1, 1, *GREY.grid))
    assert torch.equal(depends, (distance >= 1) & (distance <= 4))


@pytest.mark.parametrize(("name", "options"), [("RNN", {}), ("WaveNet", {"dilations": [1, 1]})])
def test_coordinates_tell_places_of_equal_pasts_apart_and_nothing_else_does(name, options):
    """On a constant image, where both have run in: without coordinates a place knows of its position by how long it has run only."""
    x = torch.ones(1, 1, *GREY.grid)
    told, untold = (build(name, coordinates=coordinates, **options)(x).flatten(2)[0, :, 6:].std(1) for coordinates in (True, False))
    assert told.min() > 1e-3
    assert untold.max() < told.min() / 5


def test_coordinates_are_those_of_the_place_that_is_predicted():
    inputs = RasterInputs(COLOUR, coordinates=True)
    x = torch.arange(1.0, 19).view(1, 2, 3, 3).movedim(-1, 1)  # numbered in raster order from one
    row, column, group = COLOUR.locate(10)
    expected = [10, 2.0 * row - 1, column - 1.0, *(float(other == group) for other in range(3))]
    assert (row, column, group) == (1, 0, 1)
    assert inputs(x)[0, 10].tolist() == expected
    assert inputs.at(x, 10)[0].tolist() == expected
    assert inputs.at(x, 0)[0, 0] == 0


def test_coordinates_cost_a_column_of_weights_each():
    count = {given: sum(p.numel() for p in build("WaveNet", coordinates=given).parameters()) for given in (True, False)}
    assert count[True] - count[False] == 2 * 6


def test_a_grid_becomes_a_sequence_of_places_in_raster_order_and_back():
    x = torch.randn(2, 10, 3, 3)
    sequence = as_sequence(x, CODES)
    assert sequence.shape == (2, 18, 5)
    for place in range(CODES.count):
        assert torch.equal(sequence[:, place], CODES.at(x, place))
    assert torch.equal(as_grid(sequence, CODES), x)
    assert torch.equal(shifted(sequence)[:, 1:], sequence[:, :-1])
    assert not shifted(sequence)[:, 0].any()


def test_a_transformer_is_told_which_place_is_known_and_which_is_asked():
    """Two orders that agree in where the known value stands differ in what is asked, and the other way round."""
    network = build("transformer", order="random")
    order = network.places_in_order
    network.places_in_order = order[[1, 0, *range(2, len(order))]]
    swapped = network.steps()
    network.places_in_order = order
    moved = (network.steps() - swapped).abs().amax(1) > 0
    assert moved.tolist() == [True, True, True] + [False] * (len(order) - 3)


def test_dropout_acts_in_training_alone():
    network = build("transformer", dropout=0.5)
    x = torch.randn(1, 1, *GREY.grid)
    assert not torch.equal(network.train()(x), network(x))
    assert torch.equal(network.eval()(x), network(x))


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("RNN", {"hidden_size": 0}, r"hidden_size"),
        ("RNN", {"num_layers": 0}, r"num_layers"),
        ("WaveNet", {"dilations": []}, r"dilations"),
        ("WaveNet", {"dilations": [1, 0]}, r"dilations"),
        ("WaveNet", {"width": 0}, r"width"),
        ("transformer", {"width": 9}, r"width: expected a multiple of the 2 heads"),
        ("transformer", {"num_blocks": 0}, r"num_blocks: expected at least 1"),
        ("transformer", {"dropout": 1.0}, r"dropout: expected 0 to less than 1"),
        ("transformer", {"order": "spiral"}, r"order"),
    ],
)
def test_sizes_that_cannot_be_are_refused(name, options, message):
    with pytest.raises(UserError, match=message):
        build(name, **options)
