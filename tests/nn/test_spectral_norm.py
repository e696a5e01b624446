"""Spectral normalisation: the largest singular value of every weight is one, by one power iteration in each pass of training."""

import pytest
import torch
from torch import nn

from lightning_gen.errors import UserError
from lightning_gen.models import SAGAN, SNGAN, BigGAN, ProjectionGAN
from lightning_gen.nn.adversarial import (
    BigGANGenerator,
    CNNDiscriminator,
    CNNGenerator,
    DCGANDiscriminator,
    MLPDiscriminator,
    R3GANDiscriminator,
    ResNetDiscriminator,
    ResNetGenerator,
)
from lightning_gen.nn.adversarial.base import WITH_WEIGHTS, normalize_spectrally
from lightning_gen.nn.adversarial.conditional_norm import ConditionalBatchNorm2d
from lightning_gen.nn.base import LabelKind

CLASSES = LabelKind(num_classes=4)
LABELS = torch.tensor([0, 1, 3])
NETWORKS = {
    "MLP": (MLPDiscriminator, {"hidden": [6, 5]}),
    "DCGAN": (DCGANDiscriminator, {"width": 4, "normalization": "none"}),
    "ResNet D": (ResNetDiscriminator, {"width": 8, "attention": True}),
    "CNN D": (CNNDiscriminator, {"width": 4}),
    "ResNet G": (ResNetGenerator, {"width": 8, "attention": True, "latent_dim": 6}),
    "CNN G": (CNNGenerator, {"width": 4, "latent_dim": 6}),
    "BigGAN G": (BigGANGenerator, {"width": 4, "latent_dim": 6}),
}


def matrix(layer):
    """The weight, with a row for each output channel."""
    weight = layer.weight.detach()
    return weight.transpose(0, 1).flatten(1) if isinstance(layer, nn.ConvTranspose2d) else weight.flatten(1)


def layers(network):
    gains = {layer for norm in network.modules() if isinstance(norm, ConditionalBatchNorm2d) for layer in norm.modules()}
    return {name: layer for name, layer in network.named_modules() if isinstance(layer, WITH_WEIGHTS) and layer not in gains}


@pytest.mark.parametrize(("cls", "options"), NETWORKS.values(), ids=NETWORKS)
def test_after_enough_passes_the_largest_singular_value_of_every_weight_is_one(cls, options, float64):
    network = cls(data_shape=(2, 8, 8), labels=CLASSES, **options)
    normalize_spectrally(network, "model.network")
    for layer in layers(network).values():
        for _ in range(250):
            layer.weight  # noqa: B018  what a pass in training mode does
    for name, layer in layers(network.eval()).items():
        assert float(torch.linalg.svdvals(matrix(layer))[0]) == pytest.approx(1, abs=1e-3), name


def test_no_weight_is_forgotten():
    """But for the gains and biases of normalisations."""
    network = ResNetDiscriminator((2, 8, 8), CLASSES, width=8, attention=True)
    matrices = [name for name, parameter in network.named_parameters() if parameter.ndim > 1]
    normalize_spectrally(network, "model.discriminator")
    normalised = [name.removesuffix(".parametrizations.weight.original") for name, _ in network.named_parameters()]
    assert {name.removesuffix(".weight") for name in matrices} <= {*normalised}
    assert "projection.embedding.by_class" in normalised


def test_the_gains_of_a_conditional_normalisation_stay_zero_and_finite():
    network = ResNetGenerator(6, (1, 8, 8), CLASSES, width=4)
    normalize_spectrally(network, "model.generator")
    names = [name for name, parameter in network.named_parameters() if "gain" in name or name.startswith("blocks.0.first_norm.bias")]
    assert names
    assert not any("parametrizations" in name for name in names)
    assert network(torch.randn(3, 6), LABELS).isfinite().all()


class Counted:
    """The vectors of the power iteration of a network's layers."""

    def __init__(self, network):
        self.normalised = [layer.parametrizations.weight[0] for layer in layers(network).values()]

    def __call__(self):
        return [norm._u.clone() for norm in self.normalised]


def test_every_pass_in_training_mode_is_one_power_iteration(float64):
    network, x = ResNetDiscriminator((1, 8, 8), width=4), torch.randn(3, 1, 8, 8)
    normalize_spectrally(network, "model.discriminator")
    vectors = Counted(network)
    for _ in range(3):
        before = vectors()
        network(x)
        for layer, old, new in zip(layers(network).values(), before, vectors(), strict=True):
            weight = layer.parametrizations.weight.original.detach().flatten(1)
            expected = weight @ (weight.T @ old)
            torch.testing.assert_close(new, expected / expected.norm())


def test_evaluation_iterates_nothing():
    network, x = ResNetDiscriminator((1, 8, 8), width=4), torch.randn(3, 1, 8, 8)
    normalize_spectrally(network.eval(), "model.discriminator")
    vectors = Counted(network)
    before, first = vectors(), network(x).logits
    assert torch.equal(network(x).logits, first)
    assert all(map(torch.equal, before, vectors()))


def test_a_normalised_network_of_relus_is_no_steeper_than_one(float64):
    network, x = MLPDiscriminator((1, 4, 4), hidden=[30, 30]), torch.randn(50, 1, 4, 4, requires_grad=True)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(5)
    normalize_spectrally(network, "model.discriminator")
    with torch.no_grad():
        for _ in range(200):
            network(x)
    (slope,) = torch.autograd.grad(network.eval()(x).logits.sum(), x)
    assert float(slope.flatten(1).norm(dim=1).max()) <= 1


def test_a_weight_of_zeros_is_refused():
    with pytest.raises(UserError, match=r"^model\.discriminator: expected weights to normalise, got R3GANDiscriminator, whose stages"):
        normalize_spectrally(R3GANDiscriminator((1, 8, 8), width=4, group_width=4), "model.discriminator")


RESNETS = {"generator": {"class_path": "ResNetGenerator", "width": 4}, "discriminator": {"class_path": "ResNetDiscriminator", "width": 4}}


@pytest.mark.parametrize(("cls", "both"), [(SNGAN, False), (ProjectionGAN, False), (SAGAN, True), (BigGAN, True)])
def test_sngan_normalises_the_discriminator_and_sagan_and_biggan_both(cls, both):
    model = cls([1, 8, 8], latent_dim=6, num_classes=4, conditional=True, **RESNETS)
    for network, wanted in ((model.generator, both), (model.discriminator, True)):
        assert all(nn.utils.parametrize.is_parametrized(layer, "weight") == wanted for layer in layers(network).values())


def test_the_class_vector_that_biggans_blocks_share_stays_as_it_is():
    networks = {"generator": {"class_path": "BigGANGenerator", "width": 4}, "discriminator": RESNETS["discriminator"]}
    model = BigGAN([1, 8, 8], latent_dim=6, num_classes=4, conditional=True, **networks)
    assert "embedding.by_class.weight" in dict(model.generator.named_parameters())
    assert "projection.embedding.by_class.parametrizations.weight.original" in dict(model.discriminator.named_parameters())


def test_orthogonal_weights_leave_alone_what_starts_at_zero():
    torch.manual_seed(0)
    model = ProjectionGAN([1, 8, 8], latent_dim=6, num_classes=4, conditional=True, initialization="orthogonal", **RESNETS)
    gains = {name: parameter for name, parameter in model.generator.named_parameters() if "gain" in name}
    assert gains
    assert not any(gain.any() for gain in gains.values())


def test_biggan_starts_from_orthogonal_weights(float64):
    model = BigGAN([1, 8, 8], latent_dim=6, **RESNETS)
    for layer in [*layers(model.generator).values(), *layers(model.discriminator).values()]:
        values = torch.linalg.svdvals(layer.parametrizations.weight.original.detach().flatten(1))
        torch.testing.assert_close(values, torch.ones_like(values))
