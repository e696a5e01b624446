"""R3GAN's networks: without normalisation, and yet a signal keeps its size through all blocks."""

import math

import pytest
import torch

from lightning_gen.errors import UserError
from lightning_gen.nn.adversarial import R3GANDiscriminator, R3GANGenerator
from lightning_gen.nn.adversarial.r3gan import BiasedActivation, R3GANBlock, doubled, halved
from lightning_gen.nn.base import LabelKind


def blocks(network):
    return [module for module in network.modules() if isinstance(module, R3GANBlock)]


@pytest.mark.parametrize("make", [lambda: R3GANGenerator(5, (1, 8, 8), width=8), lambda: R3GANDiscriminator((1, 8, 8), width=8)])
def test_every_block_changes_nothing_at_first(make):
    network, x = make(), torch.randn(2, 8, 4, 4)
    assert len(blocks(network)) == 6, "two at each of three resolutions"
    for block in blocks(network):
        assert torch.equal(block(x), x)


def test_a_block_is_a_narrow_a_grouped_and_a_narrow_convolution(float64):
    block, x = R3GANBlock(4, expansion=3, group_width=2, num_blocks=5), torch.randn(2, 4, 5, 6)
    with torch.no_grad():
        for parameter in block.parameters():
            parameter.normal_()
    into, bias, grouped, other_bias, out = block.parameters()

    def activated(h, shift):
        h = h + shift[:, None, None]
        return torch.where(h > 0, h, 0.2 * h)

    h = activated(torch.einsum("oi,bihw->bohw", into[:, :, 0, 0], x), bias)
    h = torch.cat([torch.nn.functional.conv2d(h[:, 2 * g : 2 * g + 2], grouped[2 * g : 2 * g + 2], padding=1) for g in range(6)], 1)
    h = activated(h, other_bias)
    torch.testing.assert_close(block(x), x + torch.einsum("oi,bihw->bohw", out[:, :, 0, 0], h))


def test_the_leaky_relu_keeps_the_size_of_a_signal_that_its_layer_has_scaled():
    """The branch of one block of a network of one block: the second moment behind each activation, before the last convolution."""
    block = R3GANBlock(64, expansion=2, group_width=16, num_blocks=1)
    x = torch.randn(16, 64, 12, 12)
    with torch.no_grad():
        for layer in block.layers[:4]:
            x = layer(x)
            if isinstance(layer, BiasedActivation):
                inner = x[:, :, 2:-2, 2:-2]  # zeros around the image make its border smaller
                assert float(inner.square().mean()) == pytest.approx(1, rel=0.25)


@pytest.mark.parametrize("num_blocks", [1, 16])
def test_both_scaled_layers_of_a_branch_bring_the_root_of_the_number_of_blocks(num_blocks):
    """Fixup: of L blocks, each of the m - 1 = 2 layers has a factor of L^(-1 / (2m - 2))."""
    block, gain = R3GANBlock(64, 2, 16, num_blocks), math.sqrt(2 / 1.04)
    for layer, fan in ((block.layers[0], 64), (block.layers[2], 16 * 9)):
        assert float(layer.weight.detach().std()) == pytest.approx(gain * num_blocks ** (-1 / 4) / math.sqrt(fan), rel=0.05)
    assert not block.layers[4].weight.any()


def test_the_generators_images_start_near_the_size_of_z():
    z = torch.randn(32, 32)
    with torch.no_grad():
        x = R3GANGenerator(32, (3, 16, 16), width=64)(z)
    assert 0.2 < float(x.square().mean()) < 1.5, "bilinear doubling smooths"


def test_the_discriminators_logits_and_features_start_near_the_size_of_smooth_images():
    x = torch.randn(32, 3, 1, 1).expand(-1, -1, 16, 16)
    with torch.no_grad():
        logits, features = R3GANDiscriminator((3, 16, 16), width=64)(x)
    assert float(features.square().mean()) == pytest.approx(1, rel=0.5)
    assert 0.1 < float(logits.square().mean()) < 10


def test_resolutions_change_by_the_filter_1_3_3_1_and_constants_stay(float64):
    image = torch.zeros(1, 1, 12, 12)
    image[0, 0, 5, 5] = 1
    torch.testing.assert_close(halved(image)[0, 0, 1:5, 2], torch.tensor([0, 3, 1, 0]) / 8 * 3 / 8, rtol=0, atol=1e-12)
    torch.testing.assert_close(doubled(image)[0, 0, 8:14, 10], torch.tensor([0, 1, 3, 3, 1, 0]) / 4 * 3 / 4, rtol=0, atol=1e-12)
    constant = torch.full((1, 1, 6, 10), 0.3)
    torch.testing.assert_close(halved(constant), torch.full((1, 1, 3, 5), 0.3))
    torch.testing.assert_close(doubled(constant), torch.full((1, 1, 12, 20), 0.3))


def test_halving_of_16_bit_maps_keeps_their_type_and_nearly_their_values():
    x = torch.randn(2, 3, 8, 8)
    half = halved(x.bfloat16())
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.float(), halved(x), rtol=0, atol=0.02)


def test_the_logit_of_a_label_is_the_inner_product_with_its_vector_over_the_root_of_its_length(float64):
    network = R3GANDiscriminator((1, 8, 8), LabelKind(3), width=4, group_width=2, label_features=5)
    logits, features = network(torch.randn(3, 1, 8, 8), torch.tensor([2, 0, 2]))
    for logit, feature, label in zip(logits, features, (2, 0, 2), strict=True):
        expected = sum(network.embedding.by_class.weight[label] * (network.head.weight @ feature)) / math.sqrt(5)
        torch.testing.assert_close(logit[0], expected)


def test_a_length_of_the_labels_vector_needs_labels():
    with pytest.raises(UserError, match=r"^label_features: there are no labels, .* got 16"):
        R3GANDiscriminator((1, 8, 8), width=16, label_features=16)
