"""The relativistic GAN: only differences of logits count, in pairs or to the mean of the others."""

import math

import pytest
import torch
from adversarial_checks import FAKE, MLP, REAL, SHAPE, batch, judged, noise
from torch import nn

from lightning_gen.errors import UserError
from lightning_gen.images import to_symmetric
from lightning_gen.models import RelativisticGAN
from lightning_gen.nn.adversarial.base import Judgement

BOTH = pytest.mark.parametrize("objective", ["paired", "average"])


def model(**options):
    return RelativisticGAN(list(SHAPE), latent_dim=2, **MLP, **options)


def f(t):
    return math.log1p(math.exp(-t))


PAIRED = (f(1 - 0.5) + f(-2 - 3) + f(0 + 1)) / 3
MEAN_REAL, MEAN_FAKE = -1 / 3, 2.5 / 3
AVERAGE = (sum(f(r - MEAN_FAKE) for r in REAL) + sum(f(MEAN_REAL - g) for g in FAKE)) / 3 / 2
GENERATOR = {
    "paired": (f(0.5 - 1) + f(3 + 2) + f(-1 - 0)) / 3,
    "average": (sum(f(g - MEAN_REAL) for g in FAKE) + sum(f(MEAN_FAKE - r) for r in REAL)) / 3 / 2,
}


@pytest.mark.parametrize(("objective", "expected"), [("paired", PAIRED), ("average", AVERAGE)])
def test_the_discriminator_wants_real_above_generated_in_pairs_or_both_above_and_below_the_others_mean_halved(objective, expected):
    terms = model(objective=objective, gamma=0.0).discriminator_terms(judged(REAL), judged(FAKE), noise())
    assert {name: float(value) for name, value in terms.items()} == pytest.approx({"discriminator_relative": expected})


class Judge(nn.Module):
    """The chosen logits for the real images and for all others."""

    def __init__(self, images):
        super().__init__()
        self.images = to_symmetric(images)

    def forward(self, x, labels=None):
        logits = torch.tensor(REAL if torch.equal(x, self.images) else FAKE)[:, None]
        return Judgement(logits, logits)


@BOTH
def test_the_generator_wants_the_opposite_and_judges_the_real_images_for_it(objective):
    gan, (images, labels) = model(objective=objective), batch()
    gan.discriminator = Judge(images)
    assert float(gan.generator_loss((images, labels), noise())["generator_loss"]) == pytest.approx(GENERATOR[objective])


@BOTH
def test_without_a_difference_each_player_loses_log_two(objective):
    terms = model(objective=objective, gamma=0.0).discriminator_terms(judged([3.0] * 3), judged([3.0] * 3), noise())
    assert float(terms["discriminator_relative"]) == pytest.approx(math.log(2))


@BOTH
def test_a_constant_added_to_all_logits_changes_nothing(objective, float64):
    gan = model(objective=objective)
    real, fake = torch.randn(5, 1), torch.randn(5, 1)
    torch.testing.assert_close(gan.relative(real + 7, fake + 7), gan.relative(real, fake))


def test_pairs_are_told_from_averages():
    gan, real, fake = model(), torch.tensor([[5.0], [-5.0]]), torch.tensor([[4.0], [-6.0]])
    assert float(gan.relative(real, fake)) == pytest.approx(f(1))
    assert float(gan.relative(real, fake.flip(0))) == pytest.approx((f(11) + f(-9)) / 2)
    average = model(objective="average")
    assert float(average.relative(real, fake)) == pytest.approx(float(average.relative(real, fake.flip(0))))


def test_an_image_is_taken_for_real_above_the_middle_of_both_means():
    found = model().accuracy(torch.tensor([9.0, 17.0, 7.0]), torch.tensor([8.5, 2.0, 4.5]))
    assert {name: float(value) for name, value in found.items()} == pytest.approx({"accuracy_real": 2 / 3, "accuracy_fake": 2 / 3})


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (
            {"objective": "average", "micro_batches": 2},
            "model.micro_batches: the mean over the whole batch is needed; expected nothing, got 2",
        ),
        ({"generator_batches": 2}, "model.generator_batches: each generated image has a real one; expected nothing, got 2"),
        ({"gamma": -1.0}, "model.gamma: expected at least 0, got -1.0"),
        ({"objective": "both"}, "model.objective: expected paired or average"),
    ],
)
def test_options_that_would_break_pairs_or_means_are_refused(options, line):
    with pytest.raises(UserError, match=f"^{line}"):
        model(**options)
