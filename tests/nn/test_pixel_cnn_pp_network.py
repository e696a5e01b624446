"""PixelCNN++'s network: causal at every resolution, and the same whether computed at once or place by place."""

import pytest
import torch
from causal_checks import check_causal, check_samples, check_steps, dependence, random_inputs

from lightning_gen.distributions.pixels.categorical import Categorical
from lightning_gen.distributions.pixels.logistic_mixture import DiscretizedLogisticMixture
from lightning_gen.errors import UserError
from lightning_gen.nn.causal.base import Places
from lightning_gen.nn.causal.pixel_cnn_pp import PixelCNNPPNetwork, WeightNormConvolution, WeightNormUpsampling
from lightning_gen.nn.data_dependent import DataDependent, initializing

CASES = {
    "the smallest": (Places((4, 4), groups=1, in_features=1, num_parameters=3), {"width": 3, "num_blocks": 1}),
    "square": (Places((8, 8), groups=1, in_features=1, num_parameters=2), {"width": 3, "num_blocks": 2}),
    "colours, wide": (Places((4, 8), groups=1, in_features=3, num_parameters=2), {"width": 3, "num_blocks": 2}),
    "a context, high": (Places((12, 4), groups=1, in_features=2, num_parameters=2, context_features=3), {"width": 3, "num_blocks": 1}),
}


def build(name):
    places, options = CASES[name]
    return PixelCNNPPNetwork(places, **options)


@pytest.fixture(params=CASES)
def network(request):
    return build(request.param)


@pytest.mark.usefixtures("float64")
def test_a_place_depends_on_all_earlier_ones_and_on_no_other(network):
    check_causal(network)


@pytest.mark.usefixtures("float64")
def test_with_one_block_a_place_of_an_odd_row_sees_six_columns_to_the_left_and_six_of_the_row_above_to_the_right():
    network = PixelCNNPPNetwork(Places((8, 8), 1, 1, 1), width=3, num_blocks=1)
    check_causal(network, sees_everything=False)
    unseen = (~dependence(network, random_inputs(network)[0])).tril(-1).nonzero().tolist()
    expected = [pair for row in (1, 3, 5, 7) for pair in ([8 * row, 8 * row - 1], [8 * row + 7, 8 * row])]
    assert unseen == expected


def test_steps_give_what_one_pass_gives(network):
    check_steps(network)


def test_steps_give_what_one_pass_gives_on_four_rows_of_the_coarsest_resolution():
    check_steps(PixelCNNPPNetwork(Places((16, 16), 1, 3, 7), width=5, num_blocks=1))


def test_samples_are_those_of_the_naive_sampler():
    pixels = DiscretizedLogisticMixture(3, 4, num_components=2)
    places = Places((4, 4), 1, pixels.in_features, pixels.num_parameters, context_features=2)
    check_samples(PixelCNNPPNetwork(places, width=4, num_blocks=1), pixels)
    check_samples(PixelCNNPPNetwork(Places((4, 8), 1, 1, 4), width=4, num_blocks=1), Categorical(1, 2))


@pytest.mark.usefixtures("float64")
def test_the_first_batch_gives_every_layer_the_mean_and_the_deviation_it_asks_for():
    network = build("square").eval()  # without dropout
    made = {}
    layers = {name: layer for name, layer in network.named_modules() if isinstance(layer, DataDependent)}
    for name, layer in layers.items():
        layer.register_forward_hook(lambda layer, _, y, name=name: made.update({name: y.detach()}))
    with initializing(network):
        network(random_inputs(network, 32)[0])
    for name, layer in layers.items():
        rows = made[name].movedim(1, -1).flatten(0, -2)
        torch.testing.assert_close(rows.mean(0), torch.zeros(rows.shape[1]), rtol=0, atol=1e-9, msg=name)
        torch.testing.assert_close(rows.std(0, correction=0), torch.full_like(rows[0], layer.scale), rtol=1e-6, atol=0, msg=name)


@pytest.mark.usefixtures("float64")
def test_a_channel_that_does_not_vary_keeps_its_scale():
    layer = WeightNormConvolution(2, 3)
    x = 1 + 1e-9 * torch.randn(4, 2, 5, 5)
    with initializing(layer):
        layer(x)
    assert torch.equal(layer.gain, torch.ones(3))
    torch.testing.assert_close(layer(x), torch.zeros(4, 3, 5, 5), rtol=0, atol=1e-7)


@pytest.mark.usefixtures("float64")
def test_weights_have_the_norm_that_the_gain_says():
    for layer in (WeightNormConvolution(4, 3, (2, 3)), WeightNormUpsampling(4, 3, (2, 2))):
        with torch.no_grad():
            layer.gain.copy_(torch.tensor([0.5, -1.0, 2.0]))
            layer.direction.mul_(7)
        torch.testing.assert_close(layer.weight.flatten(1).norm(dim=1), torch.tensor([0.5, 1.0, 2.0]))


def test_what_it_cannot_build_is_refused():
    with pytest.raises(UserError, match=r"data_shape: PixelCNN\+\+ needs a height and a width that 4 divides, got \[8, 6\]"):
        PixelCNNPPNetwork(Places((8, 6), 1, 1, 3))
    with pytest.raises(UserError, match=r"output: .* expected DiscretizedLogisticMixture, got one with 3 places a pixel"):
        PixelCNNPPNetwork(Places((8, 8), 3, 1, 3))
    with pytest.raises(UserError, match=r"width: expected at least 1, got 0"):
        PixelCNNPPNetwork(Places((8, 8), 1, 1, 3), width=0, num_blocks=1)
