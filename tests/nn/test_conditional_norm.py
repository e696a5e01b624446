"""Conditional batch normalisation and projection are what a loop over images says."""

import pytest
import torch

from lightning_gen.nn.adversarial import BigGANGenerator, CNNDiscriminator, CNNGenerator, ResNetDiscriminator, ResNetGenerator
from lightning_gen.nn.adversarial.biggan import ModulatedBatchNorm2d
from lightning_gen.nn.adversarial.conditional_norm import ConditionalBatchNorm2d, Projection
from lightning_gen.nn.base import LabelKind

CLASSES, ATTRIBUTES = LabelKind(num_classes=3), LabelKind(num_attributes=2)
LABELS = {CLASSES: torch.tensor([2, 0, 2, 1, 0]), ATTRIBUTES: torch.tensor([[0, 0], [1, 0], [0, 1], [1, 1], [1, 0]])}
KINDS = pytest.mark.parametrize("kind", [CLASSES, ATTRIBUTES], ids=["classes", "attributes"])


def filled(module):
    """With random weights, so that nothing hides in a zero."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_()
    return module


def vector(embedding, label):
    """The vector of one label, from the layer's weights."""
    if embedding.by_class is not None:
        return embedding.by_class.weight[label]
    return embedding.by_attribute.bias + sum(value * column for value, column in zip(label, embedding.by_attribute.weight.T, strict=True))


def normalized(x, epsilon=1e-5):
    """Every channel of a batch, with its own mean and variance over images and pixels."""
    out = torch.empty_like(x)
    for channel in range(x.shape[1]):
        values = x[:, channel]
        mean = values.sum() / values.numel()
        out[:, channel] = (values - mean) / ((values - mean).square().sum() / values.numel() + epsilon).sqrt()
    return out


@KINDS
def test_each_image_is_normalised_and_given_the_gain_and_bias_of_its_label(kind, float64):
    norm, x = filled(ConditionalBatchNorm2d(4, kind)), torch.randn(5, 4, 3, 2) * 3 + 1
    expected = torch.stack(
        [
            (1 + vector(norm.gain, label)[:, None, None]) * image + vector(norm.bias, label)[:, None, None]
            for image, label in zip(normalized(x), LABELS[kind], strict=True)
        ]
    )
    torch.testing.assert_close(norm(x, LABELS[kind]), expected)


@KINDS
def test_every_label_starts_with_gain_one_and_bias_zero(kind, float64):
    x = torch.randn(5, 4, 3, 2)
    torch.testing.assert_close(ConditionalBatchNorm2d(4, kind)(x, LABELS[kind]), normalized(x))


def test_without_labels_it_is_plain_batch_normalisation_with_its_own_gain_and_bias(float64):
    norm, x = filled(ConditionalBatchNorm2d(4)), torch.randn(5, 4, 3, 2)
    gain, bias = norm.norm.weight[:, None, None], norm.norm.bias[:, None, None]
    torch.testing.assert_close(norm(x), gain * normalized(x) + bias)
    assert sum(parameter.numel() for parameter in norm.parameters()) == 8


def test_in_evaluation_the_running_statistics_stand_for_the_batch(float64):
    norm, x = filled(ConditionalBatchNorm2d(4, CLASSES)), torch.randn(5, 4, 3, 2)
    norm.norm.running_mean.copy_(torch.arange(4.0))
    norm.norm.running_var.copy_(torch.arange(1.0, 5.0))
    norm.eval()
    whole = norm(x, LABELS[CLASSES])
    for i in range(5):
        torch.testing.assert_close(norm(x[i : i + 1], LABELS[CLASSES][i : i + 1]), whole[i : i + 1])
    image = (x[0, 1] - 1) / (2 + 1e-5) ** 0.5
    torch.testing.assert_close(whole[0, 1], (1 + norm.gain.by_class.weight[2, 1]) * image + norm.bias.by_class.weight[2, 1])


def test_a_modulated_normalisation_has_gain_and_bias_linear_in_a_vector(float64):
    norm, x, h = filled(ModulatedBatchNorm2d(4, 3)), torch.randn(5, 4, 3, 2), torch.randn(5, 3)
    expected = torch.stack(
        [
            (1 + (norm.gain.weight * each).sum(1))[:, None, None] * image + (norm.bias.weight * each).sum(1)[:, None, None]
            for image, each in zip(normalized(x), h, strict=True)
        ]
    )
    torch.testing.assert_close(norm(x, h), expected)
    torch.testing.assert_close(norm(x, torch.zeros(5, 3)), normalized(x))


@KINDS
def test_the_projection_is_the_inner_product_with_the_labels_vector(kind, float64):
    projection, features = filled(Projection(6, kind)), torch.randn(5, 6)
    expected = torch.stack([sum(vector(projection.embedding, y) * f) for f, y in zip(features, LABELS[kind], strict=True)])
    torch.testing.assert_close(projection(features, LABELS[kind]), expected[:, None])


def test_without_labels_nothing_is_projected():
    projection = Projection(6, LabelKind())
    assert (projection(torch.randn(5, 6), None), [*projection.parameters()]) == (0.0, [])


@KINDS
@pytest.mark.parametrize("cls", [ResNetDiscriminator, CNNDiscriminator])
def test_a_projection_discriminators_logit_is_that_of_the_features_plus_the_projection(cls, kind, float64):
    network, x = filled(cls((1, 8, 8), kind, width=3)), torch.randn(5, 1, 8, 8)
    logits, features = network(x, LABELS[kind])
    for logit, feature, label in zip(logits, features, LABELS[kind], strict=True):
        expected = network.head.bias + sum(network.head.weight[0] * feature) + sum(vector(network.projection.embedding, label) * feature)
        torch.testing.assert_close(logit, expected)


@pytest.mark.parametrize("cls", [ResNetGenerator, CNNGenerator, BigGANGenerator])
def test_a_generators_label_moves_its_own_image_alone(cls, float64):
    network, z = filled(cls(6, (1, 8, 8), CLASSES, width=3)).eval(), torch.randn(5, 6)
    labels = LABELS[CLASSES].clone()
    before = network(z, labels)
    labels[3] = 0
    assert ((network(z, labels) != before).flatten(1).any(1) == torch.tensor([False, False, False, True, False])).all()


def test_every_part_of_biggans_z_steers_its_own_block_alone(float64):
    network, z = filled(BigGANGenerator(6, (1, 8, 8), CLASSES, width=3, label_features=2)), torch.randn(5, 6)
    conditions = []
    for block in network.blocks:
        block.register_forward_pre_hook(lambda _, inputs: conditions.append(inputs[1]))
    network(z, LABELS[CLASSES])
    shared = network.embedding.by_class.weight[LABELS[CLASSES]]
    for condition, part in zip(conditions, (z[:, 2:4], z[:, 4:]), strict=True):
        torch.testing.assert_close(condition, torch.cat([part, shared], 1), rtol=0, atol=0)
