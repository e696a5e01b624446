"""Masked convolutions: what the mask cuts is cut whatever the weights are, and changes nothing else."""

import pytest
import torch

from lightning_gen.errors import UserError
from lightning_gen.nn.causal.masked_conv import MaskedConv2d, RowsConv2d


@pytest.mark.parametrize(("mask", "sees"), [("A", torch.lt), ("B", torch.le)])
def test_an_output_sees_colours_at_its_own_pixel_by_the_mask_in_both_halves_of_its_channels(mask, sees, float64):
    conv = MaskedConv2d(6, 12, (3, 3), mask, colours=3)
    centre = torch.autograd.functional.jacobian(lambda x: conv(x)[0, :, 1, 1], torch.randn(1, 6, 3, 3))[:, 0, :, 1, 1] != 0
    assert centre.equal(sees(torch.arange(6) % 3, torch.arange(12)[:, None] % 3))
    assert centre[:6].equal(centre[6:])


def test_it_is_a_convolution_with_the_other_weights_at_zero(float64):
    conv = MaskedConv2d(2, 3, (3, 5), "B", dilation=2)
    kernel = torch.zeros(3, 2, 3, 5)
    kernel[:, :, :2] = conv.weight
    kernel[:, :, 1, 3:] = 0
    x = torch.randn(2, 2, 6, 7)
    torch.testing.assert_close(conv(x), torch.nn.functional.conv2d(x, kernel, conv.bias, padding=(2, 4), dilation=2))


def test_a_pass_leaves_the_weights_alone_and_cut_ones_get_no_gradient():
    conv = MaskedConv2d(3, 3, (3, 3), "A", colours=3)
    before = conv.weight.detach().clone()
    conv(torch.randn(2, 3, 4, 4)).square().sum().backward()
    assert conv.weight.equal(before)
    assert (conv.weight.grad != 0).equal(conv.mask > 0)


def test_rows_are_seen_up_to_the_pixels_own(float64):
    conv = RowsConv2d(1, 1, (2, 3))
    seen = torch.autograd.functional.jacobian(lambda x: conv(x)[0, 0, 2, 2], torch.randn(1, 1, 5, 5))[0, 0] != 0
    expected = torch.zeros(5, 5, dtype=torch.bool)
    expected[1:3, 1:4] = True
    assert seen.equal(expected)


def test_one_row_of_a_kernel_sees_its_own_row_only(float64):
    seen = torch.autograd.functional.jacobian(lambda x: MaskedConv2d(1, 1, (1, 3), "B")(x)[0, 0, 2, 2], torch.randn(1, 1, 5, 5))[0, 0]
    assert seen.nonzero().tolist() == [[2, 1], [2, 2]]


def test_even_kernels_are_refused():
    with pytest.raises(UserError, match=r"kernel_size: expected an odd number, got 2"):
        MaskedConv2d(1, 1, (1, 2), "A")
