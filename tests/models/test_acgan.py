"""ACGAN: both players want the class of every image to be told right."""

import math

import pytest
import torch
from adversarial_checks import FAKE, MLP, REAL, SHAPE, batch, gradients, judged, noise

from lightning_gen.errors import UserError
from lightning_gen.models import ACGAN


def model(**options):
    """Its classifier names class k by the k-th of its six features, times two, whose bias is for class 0."""
    gan = ACGAN(list(SHAPE), latent_dim=2, num_classes=3, **MLP, **options)
    with torch.no_grad():
        gan.classifier.weight.copy_(2 * torch.eye(3, 6))
        gan.classifier.bias.copy_(torch.tensor([1.0, 0.0, 0.0]))
    return gan


def verdicts():
    """Features of the images' classes, but for the last generated one's."""
    return judged(REAL, [0, 1, 2], torch.eye(6)[[0, 1, 2]]), judged(FAKE, [2, 2, 1], torch.eye(6)[[2, 2, 0]])


def cost(right, *wrong):
    return math.log(math.exp(right) + sum(map(math.exp, wrong))) - right


ON_REAL = (cost(3, 0, 0) + cost(2, 1, 0) + cost(2, 1, 0)) / 3
ON_FAKE = (cost(2, 1, 0) + cost(2, 1, 0) + cost(0, 3, 0)) / 3


@pytest.mark.parametrize("weights", [{}, {"class_weight": 0.5, "generator_class_weight": 0.1}])
def test_each_player_adds_the_weighted_cross_entropy_of_the_classes_that_it_is_given(weights):
    gan, (real, fake) = model(**weights), verdicts()
    of_discriminator, of_generator = weights.get("class_weight", 1), weights.get("generator_class_weight", 1)
    cross_entropies = [
        sum(math.log1p(math.exp(sign * logit)) for logit in logits) / 3 for sign, logits in ((-1, REAL), (1, FAKE), (-1, FAKE))
    ]
    found = {name: float(value) for name, value in gan.discriminator_terms(real, fake, noise()).items()}
    expected = {"class_real": of_discriminator * ON_REAL, "class_fake": of_discriminator * ON_FAKE}
    assert found == pytest.approx({"discriminator_real": cross_entropies[0], "discriminator_fake": cross_entropies[1]} | expected)
    found = {name: float(value) for name, value in gan.generator_terms(fake, batch(), noise()).items()}
    assert found == pytest.approx({"generator_fake": cross_entropies[2], "generator_class": of_generator * ON_FAKE})


def test_the_classifier_moves_with_the_discriminator_and_not_with_the_generator():
    gan = model()
    generator, discriminator = gan.configure_optimizers()
    owned = {id(p) for group in discriminator.param_groups for p in group["params"]}
    assert {id(p) for p in gan.classifier.parameters()} <= owned
    assert owned.isdisjoint({id(p) for group in generator.param_groups for p in group["params"]})


def test_the_discriminator_is_not_told_the_class():
    gan, x = model(), torch.randn(3, *SHAPE)
    first, second = (gan.discriminator(x, torch.full((3,), label)).logits for label in (0, 2))
    assert torch.equal(first, second)
    assert not torch.equal(*(gan.generator(torch.ones(3, 2), torch.full((3,), label)) for label in (0, 2)))


def test_the_classes_loss_reaches_the_generator_through_the_features():
    """With weight alone: the game's own gradient is the same in both."""
    torch.manual_seed(2)
    without = gradients(model(generator_class_weight=0.0), "generator")
    torch.manual_seed(2)
    with_classes = gradients(model(), "generator")
    moved = [name for name in without if name.startswith("generator") and not torch.equal(without[name], with_classes[name])]
    assert len(moved) == sum(name.startswith("generator") for name in without)


@pytest.mark.parametrize("options", [{"conditional": False, "num_classes": 3}, {"num_classes": 0, "num_attributes": 2}])
def test_acgan_has_to_have_classes(options):
    with pytest.raises(UserError, match=r"^model\.conditional: ACGAN classifies; expected true, and data with classes"):
        ACGAN(list(SHAPE), latent_dim=2, **MLP, **options)
