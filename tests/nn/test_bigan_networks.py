"""BiGAN's networks: z enters every layer after the first, in the discriminator and in the generator."""

import pytest
import torch
from torch import nn

from lightning_gen.nn.adversarial import BiGANDiscriminator, BiGANGenerator, ConvBiGANDiscriminator
from lightning_gen.nn.adversarial.bigan import BiGANEncoder, Layer
from lightning_gen.nn.base import LabelKind

SHAPE = (2, 8, 8)
JOINT = pytest.mark.parametrize("cls", [BiGANDiscriminator, ConvBiGANDiscriminator])


def weights_of_z(network):
    """The maps of z by the name of their layer."""
    return {name: module for name, module in network.named_modules() if isinstance(module, nn.Linear) and "of_z" in name}


def away(network):
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return network


@pytest.mark.parametrize(("cls", "layers"), [(BiGANDiscriminator, 1), (ConvBiGANDiscriminator, 2)])
def test_the_logit_depends_on_z_through_every_layer_after_the_first(cls, layers, float64):
    """Each map of z alone, with the others at zero, gives the logit a gradient; without any there is none."""
    network = away(cls(SHAPE, 4)).eval()
    maps = weights_of_z(network)
    assert len(maps) == layers
    for only in [*maps, None]:
        kept = {name: layer.weight.detach().clone() for name, layer in maps.items()}
        for name, layer in maps.items():
            nn.init.zeros_(layer.weight) if name != only else None
        x, z = torch.randn(3, *SHAPE), torch.randn(3, 4, requires_grad=True)
        (gradient,) = torch.autograd.grad(network(x, z).logits.sum(), z)
        assert (gradient != 0).any(1).all() == (only is not None)
        for name, layer in maps.items():
            layer.weight.data.copy_(kept[name])


def test_every_layer_of_the_generator_is_given_z(float64):
    network, z = BiGANGenerator(4, SHAPE, width=6), torch.randn(3, 4)
    given = {}
    for name in ("first", "second", "last"):
        getattr(network, name).register_forward_pre_hook(lambda _, inputs, name=name: given.update({name: inputs}))
    network(z)
    assert torch.equal(given["first"][0], z)
    assert torch.equal(given["second"][1], z)
    assert torch.equal(given["last"][1], z)
    assert [*weights_of_z(network)] == ["second.of_z", "last.of_z"]


def test_a_layer_adds_its_map_of_z_before_it_normalises_over_the_batch(float64):
    layer, h, z = Layer(5, 3, 4, normalized=True), torch.randn(6, 5), torch.randn(6, 4)
    out = h @ layer.linear.weight.T + layer.linear.bias + z @ layer.of_z.weight.T
    expected = (out - out.mean(0)) / (out.var(0, unbiased=False) + 1e-5).sqrt()
    torch.testing.assert_close(layer(h, z), expected)
    assert [*layer.norm.parameters()] == [], "neither gains nor biases"


def test_z_is_added_to_every_pixel_of_a_map_alike(float64):
    network, z = away(ConvBiGANDiscriminator(SHAPE, 4)), torch.randn(3, 4)
    seen = {}
    network.norms[0].register_forward_pre_hook(lambda _, inputs: seen.update(h=inputs[0]))
    x = torch.randn(3, *SHAPE)
    network(x, z)
    with_z = seen["h"]
    network(x, torch.zeros(3, 4))
    offset = with_z - seen["h"]
    torch.testing.assert_close(offset, network.of_z[0](z)[..., None, None].expand_as(offset))


@pytest.mark.parametrize("name", ["first", "second"])
def test_the_encoder_normalises_its_second_layer_alone(name):
    layer = getattr(BiGANEncoder(SHAPE, 4), name)
    assert isinstance(layer.norm, nn.BatchNorm1d) == (name == "second")
    assert layer.of_z is None


@pytest.mark.parametrize("cls", [BiGANDiscriminator, BiGANEncoder])
def test_the_fully_connected_networks_work_on_images_in_zero_to_one_and_on_vectors_as_they_are(cls, float64):
    for shape, brought in ((SHAPE, lambda x: (x + 1) / 2), ((128,), lambda x: x)):
        network, x = cls(shape, 4), torch.rand(3, *shape) * 2 - 1
        seen = {}
        network.first.register_forward_pre_hook(lambda _, inputs, seen=seen: seen.update(h=inputs[0]))
        network(x, torch.zeros(3, 4)) if cls is BiGANDiscriminator else network(x)
        torch.testing.assert_close(seen["h"], brought(x).flatten(1))


def test_the_generators_image_is_a_sigmoid_brought_to_minus_one_to_one(float64):
    network, z, seen = away(BiGANGenerator(4, SHAPE, width=6)), torch.randn(3, 4), {}
    network.last.register_forward_hook(lambda _, inputs, out: seen.update(x=out))
    image = network(z)
    torch.testing.assert_close((image.flatten(1) + 1) / 2, torch.sigmoid(seen["x"]))


@JOINT
@pytest.mark.parametrize("kind", [LabelKind(), LabelKind(3)])
def test_a_discriminator_that_sees_no_z_has_no_weights_for_it(cls, kind):
    network = cls(SHAPE, 0, kind)
    assert all(parameter.numel() > 0 for parameter in network.parameters())
    labels = torch.tensor([0, 1, 2]) if any(kind) else None
    assert network(torch.randn(3, *SHAPE), torch.zeros(3, 0), labels).logits.shape == (3, 1)


def test_the_papers_networks_have_two_hidden_layers_of_1024():
    generator, encoder = BiGANGenerator(50, (1, 28, 28)), BiGANEncoder((1, 28, 28), 50)
    discriminator = BiGANDiscriminator((1, 28, 28), 50)
    sizes = {
        "generator": (generator, 50 * 1024 + 1024 + 1024 * 1024 + 1024 + 50 * 1024 + 1024 * 784 + 784 + 50 * 784),
        "encoder": (encoder, 784 * 1024 + 1024 + 1024 * 1024 + 1024 + 1024 * 50 + 50),
        "discriminator": (discriminator, 784 * 1024 + 1024 + 1024 * 1024 + 1024 + 50 * 1024 + 1024 + 1),
    }
    for network, count in sizes.values():
        assert sum(parameter.numel() for parameter in network.parameters()) == count
