"""Glow's network: zero at the start, hidden layers that the first batch standardises, and a gain that multiplies what is said."""

import pytest
import torch
from torch.nn.functional import conv2d

from lightning_gen.errors import UserError
from lightning_gen.nn.data_dependent import initializing
from lightning_gen.nn.glow_network import GlowNetwork, NormalizedConvolution, ZeroConvolution


@pytest.fixture
def images(deterministic):
    return 3 * torch.randn(40, 3, 5, 6) + 2


def test_it_starts_at_zero_for_any_image_and_its_size_is_the_papers(images):
    network = GlowNetwork(3, 4, width=16)
    assert torch.equal(network(images), torch.zeros(40, 4, 5, 6))
    sizes = {name: parameter.numel() for name, parameter in network.named_parameters() if name.endswith("weight")}
    assert sizes == {"first.weight": 9 * 3 * 16, "second.weight": 16 * 16, "last.weight": 9 * 16 * 4}


def test_hidden_layers_start_standardised_one_after_the_other(images):
    network = GlowNetwork(3, 4, width=16)
    with initializing(network):
        network(images)
    hidden = network.first(images)
    for y in (hidden, network.second(hidden.relu())):
        rows = y.movedim(1, -1).flatten(0, -2)
        torch.testing.assert_close(rows.mean(0), torch.zeros(16), rtol=0, atol=1e-5)
        torch.testing.assert_close(rows.std(0, correction=0), torch.ones(16), rtol=1e-4, atol=0)


def test_nothing_but_the_initialisation_initialises(images):
    network = GlowNetwork(3, 4, width=16)
    for mode in (network.train(), network.eval()):
        mode(images)
    assert not network.first.bias.any()


def test_a_scale_in_the_weights_is_a_scale_of_the_output(images):
    layer = NormalizedConvolution(3, 4, 3)
    torch.nn.init.normal_(layer.log_scale)
    torch.nn.init.normal_(layer.bias)
    expected = layer.log_scale.exp().view(-1, 1, 1) * conv2d(images, layer.weight, padding=1) + layer.bias.view(-1, 1, 1)
    torch.testing.assert_close(layer(images), expected, rtol=1e-4, atol=1e-4)


def test_the_gain_is_the_exponential_of_three_times_its_parameter(images):
    layer = ZeroConvolution(3, 4)
    torch.nn.init.normal_(layer.weight)
    torch.nn.init.normal_(layer.bias)
    plain = layer(images)
    with torch.no_grad():
        layer.log_gain.fill_(0.1)
    torch.testing.assert_close(layer(images), torch.e**0.3 * plain, rtol=1e-4, atol=1e-4)


def test_a_network_without_channels_is_refused():
    with pytest.raises(UserError, match="width: expected at least 1, got 0"):
        GlowNetwork(3, 4, width=0)
