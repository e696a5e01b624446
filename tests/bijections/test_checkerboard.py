"""The colours of a checkerboard as halves of the channels: the same division as the mask's, and a bijection on each of them."""

import pytest
import torch
from bijection_checks import check_bijection, perturbed

from lightning_gen.bijections.base import Chain, Inverse
from lightning_gen.bijections.checkerboard import CheckerboardSplit, OnHalves, checkerboard_split
from lightning_gen.bijections.convolution import InvertibleConvolution
from lightning_gen.bijections.coupling import SplitCoupling, halves
from lightning_gen.bijections.masks import mask
from lightning_gen.bijections.normalization import ActNorm
from lightning_gen.bijections.transforms import Affine
from lightning_gen.errors import UserError
from lightning_gen.nn.conditioner import WeightNormResNet


@pytest.mark.parametrize("shape", [(2, 3, 4), (1, 1, 2), (3, 4, 6)])
def test_the_split_is_a_bijection_onto_the_shape_that_it_says(shape):
    x = torch.randn(3, *shape)
    check_bijection(CheckerboardSplit(), x)
    assert CheckerboardSplit()(x)[0].shape[1:] == checkerboard_split(shape)


def test_the_halves_are_the_colours_of_the_mask():
    x = torch.arange(24.0).view(1, 1, 4, 6)
    even, odd = halves(CheckerboardSplit()(x)[0])
    colour = mask("checkerboard", (1, 4, 6)).bool()
    assert torch.equal(odd.flatten(), x[colour])
    assert torch.equal(even.flatten(), x[~colour])


def test_a_coupling_between_the_split_and_its_inverse_leaves_one_colour_as_it_is():
    network = WeightNormResNet(2, 4, width=4, num_blocks=1)
    chain = perturbed(Chain([CheckerboardSplit(), SplitCoupling(network, Affine((2, 4, 2))), Inverse(CheckerboardSplit())])).double()
    x = torch.randn(2, 2, 4, 4)
    check_bijection(chain, x)
    changed = (chain(x)[0] != x).all(0)
    assert torch.equal(changed, mask("checkerboard", (2, 4, 4))[0].bool())


def test_two_bijections_on_the_two_halves_are_one():
    check_bijection(perturbed(OnHalves(InvertibleConvolution(2, "test"), ActNorm(2))), torch.randn(3, 4, 2, 3))


@pytest.mark.parametrize("shape", [(1, 4, 3), (4,)])
def test_what_has_no_even_width_is_refused(shape):
    with pytest.raises(UserError, match="a checkerboard split needs images of even width"):
        checkerboard_split(shape)
