"""The network of Flow++: every position sees every other by attention, and neither dropout nor the context goes where it should not."""

import pytest
import torch
from torch.nn.functional import elu

from lightning_gen.errors import UserError
from lightning_gen.nn.gated_attention import ChannelNorm, GatedAttention, GatedAttentionNet, concatenated_elu, gated

SHAPE = (2, 4, 6)


@pytest.fixture(autouse=True)
def wide_default(float64):
    """float64 as the default type."""


def network(num_heads=2, context_channels=0, dropout=0.0):
    net = GatedAttentionNet(SHAPE, 5, 4, 2, num_heads, dropout, context_channels)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return net


def far_influence(net):
    """How much the last position's output depends on the first position's input."""
    x = torch.randn(1, *SHAPE).requires_grad_()
    (gradient,) = torch.autograd.grad(net(x)[..., -1, -1].sum(), x)
    return gradient[..., 0, 0].abs().sum()


def test_it_says_zero_at_first():
    assert not GatedAttentionNet(SHAPE, 5, 4, 2, 2)(torch.randn(3, *SHAPE)).any()


def test_attention_lets_every_position_see_every_other():
    assert far_influence(network(num_heads=2)) > 0
    assert far_influence(network(num_heads=0)) == 0  # four 3x3 convolutions reach no further than four pixels; these are five apart


@pytest.mark.parametrize("num_heads", [0, 2])
def test_every_parameter_has_a_gradient(num_heads):
    net = network(num_heads, context_channels=3)
    net(torch.randn(2, *SHAPE), torch.randn(2, 3, 4, 6)).square().sum().backward()
    assert not [name for name, parameter in net.named_parameters() if parameter.grad is None or not parameter.grad.abs().any()]


def test_the_context_is_seen_where_it_is_asked_for():
    x, context = torch.randn(2, *SHAPE), torch.randn(2, 3, 4, 6)
    net = network(context_channels=3)
    assert (net(x, context) != net(x, context + 1)).any()
    without = network()
    assert torch.equal(without(x, context), without(x))


def test_attention_is_the_formula():
    layer, x, position = GatedAttention(4, 2), torch.randn(1, 4, 2, 3), torch.randn(4, 2, 3)
    q, k, v = layer.first(x + position)[0].flatten(1).T.view(6, 3, 2, 2).unbind(1)  # positions, heads, width of a head
    heads = []
    for head in range(2):
        weights = torch.softmax(q[:, head] @ k[:, head].T / 2**0.5, dim=1)
        heads.append(weights @ v[:, head])
    attended = torch.cat(heads, dim=1).T.view(1, 4, 2, 3)
    torch.testing.assert_close(layer(x, position), x + gated(layer.second(attended)))


def test_without_positions_attention_does_not_know_where_it_is():
    layer, x = GatedAttention(4, 2), torch.randn(1, 4, 2, 3)
    order = torch.randperm(6)
    moved = x.flatten(2)[..., order].view_as(x)
    torch.testing.assert_close(layer(moved, torch.zeros(4, 2, 3)), layer(x, torch.zeros(4, 2, 3)).flatten(2)[..., order].view_as(x))
    assert not torch.allclose(layer(moved, torch.randn(4, 2, 3)), layer(x, torch.randn(4, 2, 3)).flatten(2)[..., order].view_as(x))


def test_dropout_is_of_training_alone():
    net, x = network(dropout=0.5), torch.randn(2, *SHAPE)
    assert (net(x) != net(x)).any()
    assert torch.equal(net.eval()(x), net(x))


def test_layer_normalisation_is_over_channels_position_by_position():
    x = 3 * torch.randn(2, 5, 3, 4) + 1
    z = ChannelNorm(5)(x)
    torch.testing.assert_close(z.mean(1), torch.zeros(2, 3, 4))
    expected = (x - x.mean(1, keepdim=True)) / (x.var(1, keepdim=True, correction=0) + 1e-5).sqrt()
    torch.testing.assert_close(z, expected)


def test_the_concatenated_elu_has_both_signs_and_a_gate_opens_with_its_second_half():
    x = torch.tensor([[-1.0], [2.0]]).view(2, 1, 1, 1)
    assert torch.equal(concatenated_elu(x), torch.cat([elu(x), elu(-x)], dim=1))
    assert gated(torch.tensor([3.0, 0.0]).view(1, 2, 1, 1)).item() == 1.5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"width": 5, "num_heads": 2}, "num_heads: expected 0 for no attention, or a divisor of the width 5, got 2"),
        ({"width": 0}, "width: expected at least 1"),
        ({"num_blocks": 0}, "num_blocks: expected at least 1, got 0"),
        ({"dropout": 1.0}, "dropout: expected a number from 0 to below 1, got 1.0"),
    ],
)
def test_networks_that_cannot_be_are_refused(options, message):
    with pytest.raises(UserError, match=message):
        GatedAttentionNet(SHAPE, 5, **options)
