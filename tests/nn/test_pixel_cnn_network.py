"""PixelCNN's network: causal but for the blind spot, which is as large as theory says; steps are one pass."""

import pytest
import torch
from bijection_checks import perturbed
from causal_checks import check_causal, check_samples, check_steps, dependence, random_inputs

from lightning_gen.distributions.pixels.categorical import Categorical
from lightning_gen.errors import UserError
from lightning_gen.nn.causal.base import Places
from lightning_gen.nn.causal.pixel_cnn import PixelCNNNetwork

GREY = Places((4, 9), groups=1, in_features=1, num_parameters=4)
COLOUR = Places((3, 4), groups=3, in_features=1, num_parameters=4)
CODES = Places((5, 6), groups=1, in_features=5, num_parameters=6, context_features=2)
CASES = {
    "grey": (GREY, {"width": 8, "num_blocks": 2, "head_width": 16}),
    "colours": (COLOUR, {"width": 24, "num_blocks": 2, "head_width": 24, "first_kernel_size": 3}),
    "blocks of single pixels": (COLOUR, {"width": 6, "num_blocks": 1, "head_width": 12, "kernel_size": 1}),
    "codes and a context, dilated": (CODES, {"width": 12, "num_blocks": 3, "head_width": 24, "kernel_size": 5, "dilations": [1, 2]}),
}


def build(name):
    places, options = CASES[name]
    return PixelCNNNetwork(places, **options)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.usefixtures("float64")
def test_no_place_depends_on_itself_or_on_later_ones(name):
    check_causal(build(name), sees_everything=False)


@pytest.mark.parametrize("name", CASES)
def test_steps_give_what_one_pass_gives(name):
    check_steps(build(name))


def test_samples_are_those_of_the_naive_sampler():
    check_samples(build("colours"), Categorical(3, 2))


def wedge(places, of_first, of_others):
    """(T, T) booleans: which places a deep stack sees: a layer that goes right, by half a kernel at most, goes up too."""

    def seen(target, source):
        (row, column, colour), (its_row, its_column, its_colour) = places.locate(target), places.locate(source)
        up, right = row - its_row, its_column - column
        if up == 0:
            return right < 0 or (right == 0 and its_colour < colour)
        return up > 0 and right <= of_first // 2 + (up - 1) * (of_others // 2)

    return torch.tensor([[seen(target, source) for source in range(places.count)] for target in range(places.count)])


@pytest.mark.parametrize(
    ("places", "first_kernel_size", "kernel_size"),
    [(Places((5, 9), 1, 1, 2), 7, 3), (Places((4, 9), 1, 1, 2), 3, 3), (Places((3, 9), 1, 1, 2), 3, 5), (Places((3, 5), 3, 1, 2), 3, 3)],
)
def test_what_is_never_seen_is_the_wedge_on_the_upper_right(places, first_kernel_size, kernel_size, float64):
    depth = 8  # enough to reach everything else
    network = PixelCNNNetwork(places, 12, depth, 36, first_kernel_size=first_kernel_size, kernel_size=kernel_size)
    depends = dependence(perturbed(network.double(), 0.1), *random_inputs(network))
    expected = wedge(places, first_kernel_size, kernel_size)
    assert not expected.equal(torch.ones_like(expected).tril(-1))
    assert depends.equal(expected)


def test_dilations_see_further(float64):
    places = Places((1, 20), 1, 1, 2)

    def reach(dilations):
        network = PixelCNNNetwork(places, 8, 3, 16, first_kernel_size=3, dilations=dilations)
        return int(dependence(perturbed(network.double(), 0.1), *random_inputs(network))[-1].sum())

    assert reach([1]) == 1 + 3
    assert reach([1, 2, 4]) == 1 + 1 + 2 + 4


def test_what_cannot_be_is_refused():
    with pytest.raises(UserError, match=r"width: expected a multiple of 3, the colours of a pixel, got 4"):
        PixelCNNNetwork(COLOUR, width=4, num_blocks=1, head_width=6)
    with pytest.raises(UserError, match=r"dilations: expected numbers of at least 1, got \[\]"):
        PixelCNNNetwork(GREY, width=4, num_blocks=1, head_width=6, dilations=[])
    with pytest.raises(UserError, match=r"num_blocks: expected at least 1, got 0"):
        PixelCNNNetwork(GREY, width=4, num_blocks=0, head_width=6)
    with pytest.raises(UserError, match=r"kernel_size: expected an odd number, got 4"):
        PixelCNNNetwork(GREY, width=4, num_blocks=1, head_width=6, kernel_size=4)
    with pytest.raises(UserError, match=r"first_kernel_size: expected an odd number of at least 3, got 1"):
        PixelCNNNetwork(GREY, width=4, num_blocks=1, head_width=6, first_kernel_size=1)
