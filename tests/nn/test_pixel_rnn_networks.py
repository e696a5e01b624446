"""The networks of PixelRNN: what a loop over pixels gives, the dependence that the paper promises, steps, samples, refusals."""

import pytest
import torch
from bijection_checks import perturbed
from causal_checks import check_causal, check_samples, check_steps, dependence, random_inputs
from torch.nn.functional import linear

from lightning_gen.distributions.pixels.categorical import Categorical
from lightning_gen.errors import UserError
from lightning_gen.nn.causal.base import Places
from lightning_gen.nn.causal.diagonal_bilstm import DiagonalBiLSTMNetwork, diagonals
from lightning_gen.nn.causal.row_lstm import RowLSTMNetwork

GREY = Places((3, 5), groups=1, in_features=1, num_parameters=4)
COLOUR = Places((3, 2), groups=3, in_features=1, num_parameters=4)
CODES = Places((4, 3), groups=2, in_features=2, num_parameters=3, context_features=2)
PLACES = {"grey": GREY, "colours": COLOUR, "two groups and a context": CODES}
NETWORKS = {"row": RowLSTMNetwork, "diagonal": DiagonalBiLSTMNetwork}


def network_of(name, places, num_layers=2):
    return NETWORKS[name](places, width=12, num_layers=num_layers, head_width=30)


@pytest.fixture(params=NETWORKS)
def name(request):
    return request.param


@pytest.fixture(params=PLACES)
def places(request):
    return PLACES[request.param]


# The same, pixel by pixel: maps are dictionaries of (row, column), and what stands outside the image is absent.


def connected(weight, groups, sees_itself):
    """The weight of a pixel for itself, ``(out, in)``: an output sees groups before its own, or its own too."""
    kept = weight.clone()
    for output in range(weight.shape[0]):
        for channel in range(weight.shape[1]):
            if channel % groups > output % groups or (channel % groups == output % groups and not sees_itself):
                kept[output, channel] = 0
    return kept


def convolved(layer, pixels, groups, sees_itself=True):
    """A masked convolution: a sum over the pixels that come before, and the pixel itself."""
    height, width = layer.weight.shape[2:]
    result = {}
    for row, column in pixels:
        total = layer.bias
        for (other_row, other_column), value in pixels.items():
            down, right = other_row - row + layer.above, other_column - column + layer.left
            if not (0 <= down < height and 0 <= right < width) or (other_row, other_column) > (row, column):
                continue
            weight = layer.weight[:, :, down, right]
            total = total + linear(value, connected(weight, groups, sees_itself) if (other_row, other_column) == (row, column) else weight)
        result[row, column] = total
    return result


def lstm(gates, across, cell):
    """A pixel of an LSTM from the parts that come into its gates and the cell that it continues."""
    o, f, i, g = (gates + sum(across)).chunk(4, -1)
    cell = f.sigmoid() * cell + i.sigmoid() * g.tanh()
    return o.sigmoid() * cell.tanh(), cell


def row_layer(layer, pixels, groups, added):
    weights = layer.lstm.weight[0].chunk(3)  # from the left above, from above, from the right above
    gates = convolved(layer.into, pixels, groups)
    states, cells = {}, {}
    for row, column in sorted(pixels):
        above = [(row - 1, column + shift) for shift in (-1, 0, 1)]
        across = [states[place] @ weight for place, weight in zip(above, weights, strict=True) if place in states]
        cell = cells.get((row - 1, column), torch.zeros(()))
        states[row, column], cells[row, column] = lstm(gates[row, column] + added, across, cell)
    return convolved(layer.back, states, groups)


def diagonal_layer(layer, pixels, groups, added):
    gates = convolved(layer.into, pixels, groups)
    sums = {place: 0 for place in pixels}
    last = max(column for _, column in pixels)
    for direction, order in enumerate((range(last + 1), range(last, -1, -1))):
        from_above, from_beside = layer.lstm.weight[direction].chunk(2)
        own = slice(direction * 48, direction * 48 + 48)
        states, cells = {}, {}
        for row in sorted({row for row, _ in pixels}):
            beside = None
            for column in order:
                pairs = [((row - 1, column), from_above), (beside, from_beside)]
                across = [states[place] @ weight for place, weight in pairs if place in states]
                here = (gates[row, column] + added)[..., own]
                states[row, column], cells[row, column] = lstm(here, across, cells.get(beside, torch.zeros(())))
                beside = row, column
        for row, column in pixels:
            given = (row + direction, column)  # from the right: to the pixel below
            if given in sums:
                sums[given] = sums[given] + states[row, column]
    return convolved(layer.back, sums, groups)


LAYERS = {"row": row_layer, "diagonal": diagonal_layer}


def pixel_by_pixel(name, network, x, context):
    groups = network.places.groups
    pixels = {(row, column): x[:, :, row, column] for row in range(x.shape[2]) for column in range(x.shape[3])}
    if name == "diagonal":  # one empty column more
        pixels |= {(row, x.shape[3]): torch.zeros_like(x[:, :, row, 0]) for row in range(x.shape[2])}
    pixels = convolved(network.first, pixels, groups, sees_itself=False)
    for layer in network.layers:
        out = LAYERS[name](layer, pixels, groups, 0 if context is None else context @ layer.context.weight.T)
        pixels = {place: pixels[place] + out[place] for place in pixels}
    for layer in network.head:
        pixels = convolved(layer, {place: value.relu() for place, value in pixels.items()}, groups)
    return torch.stack([pixels[place] for place in sorted(pixels) if place[1] < x.shape[3]], -1).unflatten(-1, x.shape[2:])


@pytest.mark.usefixtures("float64")
def test_one_pass_gives_what_a_loop_over_pixels_gives(name, places):
    network = perturbed(network_of(name, places), 0.1)
    x, context = random_inputs(network)
    with torch.no_grad():
        torch.testing.assert_close(network(x, context), pixel_by_pixel(name, network, x, context), rtol=1e-10, atol=1e-10)


# Dependence.


@pytest.mark.usefixtures("float64")
def test_a_place_depends_on_no_later_one_and_in_a_diagonal_bilstm_on_all_earlier_ones(name, places):
    check_causal(network_of(name, places), sees_everything=name == "diagonal")


def reach_of_row_lstm(rows, columns, num_layers):
    """Which pixels each one is promised to see: sets that grow from layer to layer and from row to row."""
    image = [(row, column) for row in range(rows) for column in range(columns)]
    reach = {
        (row, column): {(r, c) for r, c in image if row - 3 <= r and abs(c - column) <= 3 and (r, c) < (row, column)}
        for row, column in image
    }
    for _ in range(num_layers):
        states = {}
        for row, column in image:
            sources = [reach.get((row, column - 1), set()), reach[row, column]]
            sources += [states.get((row - 1, column + shift), set()) for shift in (-1, 0, 1)]
            states[row, column] = set().union(*sources)
        reach = {place: reach[place] | states[place] for place in image}
    return reach


@pytest.mark.usefixtures("float64")
def test_a_row_lstm_sees_a_triangle_of_the_rows_above_and_no_more():
    network = perturbed(network_of("row", Places((6, 15), 1, 1, 2), num_layers=1), 0.1)
    x, _ = random_inputs(network, 1)
    depends = dependence(network, x).view(6, 15, 6, 15)
    for (row, column), expected in reach_of_row_lstm(6, 15, 1).items():
        assert {tuple(place) for place in depends[row, column].nonzero().tolist()} == expected
    # Three pixels of the first layer to the right, and one more for each row.
    assert [int(depends[5, 7, row].nonzero().max()) for row in (4, 3, 2, 1, 0)] == [10, 11, 12, 13, 14]


def test_a_row_lstm_layer_alone_sees_one_more_pixel_to_each_side_per_row():
    layer = network_of("row", Places((5, 9), 1, 1, 2)).layers[0]
    jacobian = torch.autograd.functional.jacobian(lambda v: layer(v)[0, :, 4, 4].sum(), torch.randn(1, 24, 5, 9))
    seen = jacobian[0].abs().sum(0) > 0
    assert [row.nonzero().flatten().tolist() for row in seen] == [
        [0, 1, 2, 3, 4, 5, 6, 7, 8],
        [0, 1, 2, 3, 4, 5, 6, 7],
        [1, 2, 3, 4, 5, 6],
        [2, 3, 4, 5],
        [3, 4],
    ]


def test_a_diagonal_bilstm_layer_alone_sees_the_whole_image_before():
    layer = network_of("diagonal", Places((4, 4), 1, 1, 2)).layers[0]  # one column more than the image
    for row in range(4):
        for column in range(5):
            jacobian = torch.autograd.functional.jacobian(lambda v, at=(row, column): layer(v)[0][:, *at].sum(), torch.randn(1, 24, 4, 5))
            seen = (jacobian[0].abs().sum(0) > 0).flatten()
            assert seen.tolist() == [place <= row * 5 + column for place in range(20)]


def test_diagonals_go_down_from_the_upper_right_and_hold_every_pixel_once():
    order, lengths = diagonals(3, 4)
    assert [part.tolist() for part in order.split(lengths)] == [[0], [1, 4], [2, 5, 8], [3, 6, 9], [7, 10], [11]]


# One place after the other.


def test_steps_give_what_one_pass_gives(name, places):
    check_steps(network_of(name, places))


def test_steps_of_a_wider_row_lstm_give_what_one_pass_gives():
    check_steps(RowLSTMNetwork(CODES, width=6, num_layers=2, head_width=10, kernel_size=5))


def test_samples_are_those_of_the_naive_sampler(name):
    check_samples(network_of(name, COLOUR), Categorical(3, 2))


def test_widths_that_cannot_be_shared_out_are_refused(name):
    with pytest.raises(UserError, match=r"width: expected a multiple of 3, the colours of a pixel, got 16"):
        NETWORKS[name](COLOUR, width=16, num_layers=1, head_width=30)
    with pytest.raises(UserError, match=r"head_width: expected a multiple of 3, the colours of a pixel, got 2"):
        NETWORKS[name](COLOUR, width=6, num_layers=1, head_width=2)
    with pytest.raises(UserError, match=r"num_layers: expected at least 1, got 0"):
        NETWORKS[name](COLOUR, width=6, num_layers=0, head_width=3)


def test_an_even_kernel_of_a_row_lstm_is_refused():
    with pytest.raises(UserError, match=r"kernel_size: expected an odd number, got 2"):
        RowLSTMNetwork(GREY, width=4, num_layers=1, head_width=4, kernel_size=2)
