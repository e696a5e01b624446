"""The networks of GANs: those of the references have the references' sizes, images are bounded, and no option is taken and ignored."""

import pytest
import torch
from torch import nn

from lightning_gen.errors import UserError
from lightning_gen.nn.adversarial import (
    BiGANDiscriminator,
    BiGANGenerator,
    BigGANGenerator,
    CNNDiscriminator,
    CNNGenerator,
    ConvBiGANDiscriminator,
    DCGANDiscriminator,
    DCGANGenerator,
    MLPDiscriminator,
    MLPGenerator,
    R3GANDiscriminator,
    R3GANGenerator,
    ResNetDiscriminator,
    ResNetGenerator,
)
from lightning_gen.nn.adversarial.dcgan import initialize
from lightning_gen.nn.adversarial.resnet import DiscriminatorBlock, FirstBlock, GeneratorBlock
from lightning_gen.nn.base import LabelEmbedding, LabelKind
from lightning_gen.nn.conv import resolution_levels

CLASSES, ATTRIBUTES = LabelKind(num_classes=4), LabelKind(num_attributes=3)
SHAPE = (3, 32, 32)

REFERENCES = {
    "SNGAN, G": (4_276_739, lambda: ResNetGenerator(128, SHAPE)),
    "SNGAN, D": (1_053_825, lambda: ResNetDiscriminator(SHAPE)),
    "projection, G": (4_304_387, lambda: ResNetGenerator(128, SHAPE, LabelKind(10))),
    "projection, D": (1_055_105, lambda: ResNetDiscriminator(SHAPE, LabelKind(10))),
    "batch normalisation, D": (1_055_879, lambda: ResNetDiscriminator(SHAPE, normalization="batch")),
    "BigGAN, G": (9_416_196, lambda: BigGANGenerator(80, SHAPE, LabelKind(10), attention=True)),
    "BigGAN, D": (2_415_170, lambda: ResNetDiscriminator(SHAPE, LabelKind(10), width=192, attention=True)),
    "StudioGAN's DCGAN, G": (3_812_355, lambda: CNNGenerator(128, SHAPE)),
    "StudioGAN's DCGAN, D": (2_931_009, lambda: CNNDiscriminator(SHAPE, normalization="batch", pooling="sum", slope=0.0)),
}
GENERATORS = {
    "MLP": (MLPGenerator, {"hidden": [6]}),
    "DCGAN": (DCGANGenerator, {"width": 3}),
    "ResNet": (ResNetGenerator, {"width": 4}),
    "ResNet bilinear": (ResNetGenerator, {"width": 4, "upsampling": "bilinear"}),
    "ResNet attention": (ResNetGenerator, {"width": 4, "attention": True}),
    "CNN": (CNNGenerator, {"width": 3}),
    "CNN foot": (CNNGenerator, {"width": 3, "normalized_foot": True}),
    "BigGAN": (BigGANGenerator, {"width": 4, "attention": True}),
    "R3GAN": (R3GANGenerator, {"width": 4, "group_width": 2}),
    "BiGAN": (BiGANGenerator, {"width": 6}),
}
DISCRIMINATORS = {
    "MLP": (MLPDiscriminator, {"hidden": [6]}),
    "MLP linear": (MLPDiscriminator, {"hidden": []}),
    "DCGAN": (DCGANDiscriminator, {"width": 3}),
    "DCGAN layer": (DCGANDiscriminator, {"width": 3, "normalization": "layer"}),
    "ResNet": (ResNetDiscriminator, {"width": 4}),
    "ResNet mean": (ResNetDiscriminator, {"width": 4, "pooling": "mean", "normalization": "layer"}),
    "ResNet attention": (ResNetDiscriminator, {"width": 4, "attention": True}),
    "CNN": (CNNDiscriminator, {"width": 3}),
    "CNN sum": (CNNDiscriminator, {"width": 3, "pooling": "sum", "normalization": "batch"}),
    "R3GAN": (R3GANDiscriminator, {"width": 4, "group_width": 2}),
    "BiGAN": (BiGANDiscriminator, {"width": 6, "latent_dim": 12}),
    "BiGAN conv": (ConvBiGANDiscriminator, {"width": 3, "latent_dim": 12}),
}
CONVOLUTIONAL = [name for name in GENERATORS if name not in ("MLP", "BiGAN")]
SIZES = [(1, 8, 8), (1, 28, 28), (3, 32, 32), (3, 64, 64), (2, 12, 8), (1, 16, 32)]
LABELS = {LabelKind(): None, CLASSES: torch.tensor([0, 3]), ATTRIBUTES: torch.tensor([[0, 1, 1], [1, 0, 1]])}


def generator(name, shape, labels=LabelKind()):
    """z has a part for each resolution of BigGAN."""
    cls, options = GENERATORS[name]
    latent_dim = 4 * (resolution_levels(shape)[0] + 1) if name == "BigGAN" else 5
    return cls(latent_dim, shape, labels, **options), torch.randn(2, latent_dim)


def discriminator(name, shape, labels=LabelKind()):
    """The network, and further inputs beside the image."""
    cls, options = DISCRIMINATORS[name]
    return cls(data_shape=shape, labels=labels, **options), [torch.randn(2, 12)] if "latent_dim" in options else []


def away(network):
    """From the initialisation, at which parts of some networks are zero."""
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return network


@pytest.mark.parametrize("name", REFERENCES)
def test_the_network_of_the_reference_has_as_many_parameters(name):
    count, make = REFERENCES[name]
    with torch.device("meta"):
        network = make()
    assert sum(parameter.numel() for parameter in network.parameters()) == count


@pytest.mark.parametrize("shape", SIZES)
@pytest.mark.parametrize("name", GENERATORS)
def test_a_generator_makes_images_of_every_size(name, shape):
    network, z = generator(name, shape)
    assert network(z).shape == (2, *shape)


@pytest.mark.parametrize("shape", SIZES)
@pytest.mark.parametrize("name", DISCRIMINATORS)
def test_a_discriminator_judges_images_of_every_size(name, shape):
    network, more = discriminator(name, shape)
    logits, features = network(torch.randn(2, *shape), *more)
    assert (logits.shape, features.shape) == ((2, 1), (2, network.num_features))


@pytest.mark.parametrize("name", [name for name in GENERATORS if name != "R3GAN"])
def test_images_lie_between_minus_one_and_one_and_come_near_both(name):
    network, z = generator(name, (1, 8, 8))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(20).add_(torch.randn_like(parameter))
        x = network(z)
    assert -1 <= float(x.min()) < -0.9
    assert 0.9 < float(x.max()) <= 1


@pytest.mark.parametrize("cls", [MLPGenerator, DCGANGenerator, BiGANGenerator])
def test_a_label_beside_z_is_as_long_as_a_one_hot_one_and_does_not_drown_z(cls):
    generator = cls(8, SHAPE, LabelKind(num_classes=1000))
    (embedding,) = (module for module in generator.modules() if isinstance(module, LabelEmbedding))
    assert float(embedding(torch.arange(1000)).square().sum(1).mean()) == pytest.approx(1.0, rel=0.05)


@pytest.mark.parametrize("kind", [CLASSES, ATTRIBUTES])
@pytest.mark.parametrize("name", GENERATORS)
def test_a_conditional_generator_makes_other_images_of_other_labels(name, kind):
    network, z = generator(name, (1, 8, 8), kind)
    away(network).eval()
    first, second = (network(z, LABELS[kind][[i, i]]) for i in (0, 1))
    assert ((first - second).flatten(1).abs().amax(1) > 1e-4).all()


@pytest.mark.parametrize("kind", [CLASSES, ATTRIBUTES])
@pytest.mark.parametrize("name", DISCRIMINATORS)
def test_a_conditional_discriminator_judges_otherwise_with_other_labels(name, kind):
    network, more = discriminator(name, (1, 8, 8), kind)
    away(network).eval()
    x = torch.randn(2, 1, 8, 8)
    first, second = (network(x, *more, LABELS[kind][[i, i]]).logits for i in (0, 1))
    assert ((first - second).abs() > 1e-4).all()


@pytest.mark.parametrize("name", DISCRIMINATORS)
def test_in_evaluation_a_logit_is_of_its_own_image_and_of_all_its_pixels(name, float64):
    network, more = discriminator(name, (2, 12, 8))
    away(network).eval()
    x = torch.randn(2, 2, 12, 8, requires_grad=True)
    (gradient,) = torch.autograd.grad(network(x, *more).logits[0], x)
    assert (gradient[0] != 0).float().mean() > 0.99  # a dead ReLU may hide a pixel
    assert (gradient[1] == 0).all()


@pytest.mark.parametrize("name", DISCRIMINATORS)
def test_the_logit_is_a_head_on_the_features(name, float64):
    network, more = discriminator(name, (1, 8, 8))
    logits, features = network(torch.randn(2, 1, 8, 8), *more)
    torch.testing.assert_close(logits, network.head(features), rtol=0, atol=0)


# SNGAN's residual blocks: what is computed in a cheaper order is the same.


@pytest.mark.parametrize("upsampling", ["nearest", "bilinear"])
def test_the_generators_shortcut_may_be_convolved_before_it_is_doubled(upsampling, float64):
    block, x = GeneratorBlock(3, 5, LabelKind(), upsampling), torch.randn(2, 3, 4, 6)
    double = nn.Upsample(scale_factor=2, mode=upsampling)
    branch = block.second(block.second_norm(block.first(double(block.first_norm(x).relu()))).relu())
    torch.testing.assert_close(block(x, None), branch + block.shortcut(double(x)))


def test_one_pooling_serves_the_discriminators_branch_and_shortcut(float64):
    block, x, pool = DiscriminatorBlock(3, True, "none"), torch.randn(2, 3, 4, 6), nn.AvgPool2d(2)
    torch.testing.assert_close(block(x), pool(block.branch(x)) + pool(block.shortcut(x)))


def test_the_first_blocks_shortcut_may_be_pooled_before_it_is_convolved(float64):
    block, x, pool = FirstBlock(3, 5, "none"), torch.randn(2, 3, 4, 6), nn.AvgPool2d(2)
    torch.testing.assert_close(block(x), block.branch(x) + pool(block.shortcut[2](x)))


def test_the_first_block_sees_the_images_negative_half(float64):
    block, x = FirstBlock(1, 2, "none"), torch.full((1, 1, 4, 4), -1.0, requires_grad=True)
    (gradient,) = torch.autograd.grad(block(x).sum(), x)
    assert (gradient != 0).all()


def test_a_block_that_halves_nothing_adds_to_its_input(float64):
    block, x = DiscriminatorBlock(3, False, "none"), torch.randn(2, 3, 4, 4)
    torch.testing.assert_close(block(x) - x, block.branch(x))


@pytest.mark.parametrize(("pooling", "pixels"), [("sum", 1), ("mean", 64)])
def test_the_features_are_the_sum_or_the_mean_over_pixels(pooling, pixels, float64):
    network, x = ResNetDiscriminator(SHAPE, width=4, pooling=pooling), torch.randn(2, *SHAPE)
    hidden = network.blocks(x).relu()
    assert hidden.shape == (2, 4, 8, 8)
    torch.testing.assert_close(network(x).features, hidden.flatten(2).sum(2) / pixels)


def test_glorots_weights_have_the_gain_of_the_relu_in_branches_and_none_elsewhere():
    network = ResNetGenerator(128, SHAPE, width=32)
    block = network.blocks[0]
    for layer, squared_gain in ((block.first, 2), (block.shortcut, 1), (network.foot[0], 1), (network.head[2], 1)):
        fans = (layer.weight.shape[0] + layer.weight.shape[1]) * layer.weight[0, 0].numel()
        assert float(layer.weight.detach().square().mean()) == pytest.approx(2 * squared_gain / fans, rel=0.15)
        assert not layer.bias.any()


# DCGAN's initialisation.


def test_gains_start_near_one_in_every_normalisation_that_has_them():
    for layer in (nn.BatchNorm2d(4096), nn.GroupNorm(1, 4096)):
        initialize(layer)
        assert float(layer.weight.detach().mean()) == pytest.approx(1, abs=5 * 0.02 / 64)
        assert float(layer.weight.detach().std()) == pytest.approx(0.02, rel=0.1)
    initialize(nn.BatchNorm1d(3, affine=False))


# What is refused.


@pytest.mark.parametrize("name", CONVOLUTIONAL)
@pytest.mark.parametrize("shape", [(1, 50, 50), (1, 7, 7), (1, 4, 32), (2,)])
def test_a_convolutional_generator_refuses_what_it_cannot_halve(name, shape):
    cls, options = GENERATORS[name]
    with pytest.raises(UserError, match=r"^data_shape: "):
        cls(12, shape, **options)


@pytest.mark.parametrize("name", [name for name in DISCRIMINATORS if name not in ("MLP", "MLP linear", "BiGAN")])
@pytest.mark.parametrize("shape", [(1, 50, 50), (1, 7, 7), (1, 4, 32), (2,)])
def test_a_convolutional_discriminator_refuses_what_it_cannot_halve(name, shape):
    cls, options = DISCRIMINATORS[name]
    with pytest.raises(UserError, match=r"^data_shape: "):
        cls(data_shape=shape, **options)


@pytest.mark.parametrize(("cls", "options"), [*((cls, {"latent_dim": 12} | o) for cls, o in GENERATORS.values()), *DISCRIMINATORS.values()])
def test_a_network_without_width_is_refused(cls, options):
    key = "hidden" if "hidden" in options else "width"
    with pytest.raises(UserError, match=f"^{key}: expected .*at least 1, got "):
        cls(data_shape=(1, 8, 8), **(options | {key: [0] if key == "hidden" else 0}))


@pytest.mark.parametrize(
    ("make", "line"),
    [
        (lambda: BigGANGenerator(80, (1, 28, 28)), "model.latent_dim: expected a multiple of 3, a part for each resolution, got 80"),
        (lambda: BigGANGenerator(81, (3, 32, 32)), "model.latent_dim: expected a multiple of 4, a part for each resolution, got 81"),
        (lambda: BigGANGenerator(9, (1, 8, 8), CLASSES, label_features=0), "label_features: expected at least 1, got 0"),
        (lambda: R3GANDiscriminator((1, 8, 8), CLASSES, 4, group_width=2, label_features=0), "label_features: expected at least 1, got 0"),
        (
            lambda: BigGANGenerator(4, (1, 4, 4), width=4, attention=True),
            "attention: expected false for images whose sides are halved only",
        ),
        (lambda: ResNetGenerator(4, (1, 14, 14), width=4, attention=True), "attention: expected false for images whose sides are halved"),
        (lambda: R3GANGenerator(4, (1, 8, 8), width=6, group_width=8), "group_width: expected a divisor of the 12 channels inside a block"),
        (lambda: R3GANDiscriminator((1, 8, 8), width=6, group_width=0), "group_width: expected at least 1, got 0"),
        (lambda: R3GANDiscriminator((1, 8, 8), width=6, expansion=0), "expansion: expected at least 1, got 0"),
        (lambda: R3GANGenerator(4, (1, 8, 8), width=6, blocks_per_resolution=0), "blocks_per_resolution: expected at least 1, got 0"),
    ],
)
def test_an_option_that_a_network_cannot_have_is_refused_by_name(make, line):
    with pytest.raises(UserError, match=f"^{line}"):
        make()
