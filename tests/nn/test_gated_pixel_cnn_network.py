"""Gated PixelCNN's network: causal without a blind spot, and the same whether computed at once or place by place."""

import pytest
import torch
from causal_checks import check_causal, check_samples, check_steps

from lightning_gen.distributions.pixels.categorical import Categorical
from lightning_gen.errors import UserError
from lightning_gen.nn.causal.base import Places
from lightning_gen.nn.causal.gated_pixel_cnn import GatedPixelCNNNetwork

GREY = Places((5, 9), groups=1, in_features=1, num_parameters=4)
COLOUR = Places((3, 4), groups=3, in_features=1, num_parameters=4)
CODES = Places((4, 5), groups=1, in_features=5, num_parameters=6, context_features=2)
CASES = {
    "grey": (GREY, {"width": 8, "num_layers": 4, "head_width": 16}),
    "colours": (COLOUR, {"width": 24, "num_layers": 2, "head_width": 24}),
    "colours, 3x3": (COLOUR, {"width": 24, "num_layers": 3, "head_width": 24, "first_kernel_size": 3, "kernel_size": 3}),
    "codes and a context, dilated": (
        CODES,
        {"width": 12, "num_layers": 4, "head_width": 24, "first_kernel_size": 3, "kernel_size": 3, "dilations": [2, 1]},
    ),
}


@pytest.fixture(params=CASES)
def network(request):
    places, options = CASES[request.param]
    return GatedPixelCNNNetwork(places, **options)


@pytest.mark.usefixtures("float64")
def test_a_place_depends_on_all_earlier_ones_and_on_no_other(network):
    check_causal(network)


def test_steps_give_what_one_pass_gives(network):
    check_steps(network)


@pytest.mark.usefixtures("float64")
def test_one_layer_is_causal_within_its_reach():
    check_causal(GatedPixelCNNNetwork(GREY, width=8, num_layers=1, head_width=16), sees_everything=False)


def test_samples_are_those_of_the_naive_sampler():
    places, options = CASES["colours"]
    check_samples(GatedPixelCNNNetwork(places, **options), Categorical(3, 2))


def test_only_the_horizontal_stack_has_residual_connections_and_not_in_its_first_layer():
    layers = GatedPixelCNNNetwork(GREY, width=8, num_layers=3, head_width=16).layers
    v, h = torch.randn(2, 16, 5, 9), torch.randn(2, 8, 5, 9)
    with torch.no_grad():
        for number, layer in enumerate(layers):
            for parameter in layer.parameters():
                parameter.zero_()
            next_v, next_h = layer(torch.randn(2, 1, 5, 9) if number == 0 else v, torch.randn(2, 1, 5, 9) if number == 0 else h, None)
            assert not next_v.any()
            assert next_h.equal(torch.zeros_like(h) if number == 0 else h)


def test_the_context_reaches_both_halves_of_both_gates():
    layer = GatedPixelCNNNetwork(CODES, width=12, num_layers=2, head_width=24).layers[1]
    v, h = torch.randn(1, 24, 4, 5), torch.randn(1, 12, 4, 5)
    seen = []
    layer.out.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        (v_0, _), (v_1, _) = layer(v, h, torch.zeros(1, 2)), layer(v, h, torch.ones(1, 2))
    shift = (v_1 - v_0).view(24, -1)
    torch.testing.assert_close(shift, layer.context(torch.ones(2))[:, None].expand(-1, 20))
    assert not seen[0].isclose(seen[1]).any()


def test_what_cannot_be_is_refused():
    with pytest.raises(UserError, match=r"width: expected a multiple of 3, the colours of a pixel, got 4"):
        GatedPixelCNNNetwork(COLOUR, width=4, num_layers=1, head_width=6)
    with pytest.raises(UserError, match=r"num_layers: expected at least 1, got 0"):
        GatedPixelCNNNetwork(GREY, width=4, num_layers=0, head_width=6)
    with pytest.raises(UserError, match=r"first_kernel_size: expected an odd number of at least 3, got 1"):
        GatedPixelCNNNetwork(GREY, width=4, num_layers=1, head_width=6, first_kernel_size=1)
