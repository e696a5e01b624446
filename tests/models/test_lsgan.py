"""The least-squares GAN: half the mean square of what lies between a value and its target."""

import pytest
import torch
from adversarial_checks import MLP, SHAPE, discriminator_terms, generator_terms

from lightning_gen.errors import UserError
from lightning_gen.models import LSGAN
from lightning_gen.models.gans.adversarial_model import Judged


def model(**options):
    return LSGAN(list(SHAPE), latent_dim=2, **MLP, **options)


def test_the_losses_are_half_the_mean_squares_to_the_targets_zero_and_one():
    real, fake = (0**2 + 3**2 + 1**2) / 3, (0.5**2 + 3**2 + 1**2) / 3
    assert discriminator_terms(model()) == pytest.approx({"discriminator_real": real / 2, "discriminator_fake": fake / 2})
    assert generator_terms(model()) == pytest.approx({"generator_fake": (0.5**2 + 2**2 + 2**2) / 3 / 2})


def test_other_targets_are_taken_for_a_b_and_c():
    other = model(fake_target=-1.0, real_target=2.0, generator_target=0.5)
    real, fake = (1**2 + 4**2 + 2**2) / 3, (1.5**2 + 4**2 + 0**2) / 3
    assert discriminator_terms(other) == pytest.approx({"discriminator_real": real / 2, "discriminator_fake": fake / 2})
    assert generator_terms(other) == pytest.approx({"generator_fake": (0**2 + 2.5**2 + 1.5**2) / 3 / 2})


@pytest.mark.parametrize(("targets", "accuracies"), [({}, (1 / 3, 1 / 3)), ({"fake_target": -3.0, "real_target": 1.0}, (2 / 3, 0.0))])
def test_an_image_is_taken_for_real_above_the_middle_of_the_targets(targets, accuracies):
    real, fake = (torch.tensor(logits) for logits in ([1.0, -2.0, 0.0], [0.5, 3.0, -1.0]))
    found = model(**targets).accuracy(real, fake)
    assert (float(found["accuracy_real"]), float(found["accuracy_fake"])) == pytest.approx(accuracies)


def test_the_best_value_is_the_mean_of_the_targets_weighted_by_the_densities(float64):
    """D = (p b + q a) / (p + q), Eq. 5, where the loss on a table of three values has no slope."""
    p, q = torch.tensor([0.2, 0.3, 0.5]), torch.tensor([0.6, 0.3, 0.1])
    gan = model(fake_target=-1.0, real_target=2.0)
    best = ((2 * p - q) / (p + q)).requires_grad_()
    loss = sum(
        p[i] * gan.discriminator_terms(verdict(best[i]), verdict(best[j]), None)["discriminator_real"] * q[j]
        + q[j] * gan.discriminator_terms(verdict(best[i]), verdict(best[j]), None)["discriminator_fake"] * p[i]
        for i in range(3)
        for j in range(3)
    )
    (slope,) = torch.autograd.grad(loss, best)
    torch.testing.assert_close(slope, torch.zeros(3), rtol=0, atol=1e-12)


def verdict(logit):
    return Judged(torch.zeros(1), None, logit.view(1, 1), torch.zeros(1, 6))


@pytest.mark.parametrize("real_target", [-1.0, 1.0])
def test_targets_that_tell_nothing_apart_or_the_wrong_way_round_are_refused(real_target):
    with pytest.raises(UserError, match=rf"^model\.real_target: expected more than model\.fake_target \(1\.0\), got {real_target}"):
        model(fake_target=1.0, real_target=real_target)
