"""SNGAN and what is built on it: the hinge loss, the projection, and the rates of two time scales."""

import math

import pytest
import torch
from adversarial_checks import FAKE, MLP, REAL, SHAPE, discriminator_terms, generator_terms

from lightning_gen.errors import UserError
from lightning_gen.models import SAGAN, SNGAN, BigGAN, ProjectionGAN

RESNET = {"generator": {"class_path": "ResNetGenerator", "width": 4}, "discriminator": {"class_path": "ResNetDiscriminator", "width": 4}}


def model(cls=SNGAN, **options):
    return cls(list(SHAPE), latent_dim=2, **MLP, **options)


def test_the_hinge_loss_counts_what_lies_within_the_margins_and_the_generators_is_the_mean_logit():
    """Real 1, -2, 0 lack 0, 3, 1 to one; generated 0.5, 3, -1 exceed minus one by 1.5, 4, 0."""
    assert discriminator_terms(model()) == pytest.approx({"discriminator_real": 4 / 3, "discriminator_fake": 5.5 / 3})
    assert generator_terms(model()) == pytest.approx({"generator_fake": -2.5 / 3})


def test_the_non_saturating_loss_is_the_cross_entropy():
    real, fake, generator = (
        sum(math.log1p(math.exp(sign * logit)) for logit in logits) / 3 for sign, logits in ((-1, REAL), (1, FAKE), (-1, FAKE))
    )
    plain = model(objective="non_saturating")
    assert discriminator_terms(plain) == pytest.approx({"discriminator_real": real, "discriminator_fake": fake})
    assert generator_terms(plain) == pytest.approx({"generator_fake": generator})


@pytest.mark.parametrize(
    ("cls", "n_critic", "rates"),
    [(SNGAN, 5, (2e-4, 2e-4)), (ProjectionGAN, 5, (2e-4, 2e-4)), (SAGAN, 1, (1e-4, 4e-4)), (BigGAN, 4, (2e-4, 2e-4))],
)
def test_each_paper_has_its_cadence_and_rates_and_adam_without_a_first_moment(cls, n_critic, rates):
    gan = cls([1, 8, 8], latent_dim=6, num_classes=4, conditional=cls is ProjectionGAN, **RESNET)
    optimizers = gan.configure_optimizers()
    assert gan.hparams.n_critic == n_critic
    assert tuple(optimizer.param_groups[0]["lr"] for optimizer in optimizers) == rates
    assert {optimizer.param_groups[0]["betas"] for optimizer in optimizers} == {(0.0, 0.9 if cls is not BigGAN else 0.999)}


def test_the_projection_is_of_a_label():
    with pytest.raises(UserError, match=r"^model\.conditional: the projection is of a label; expected true, or SNGAN"):
        model(ProjectionGAN, conditional=False, num_classes=4)


def test_weights_that_were_normalised_are_trained_and_averaged_as_they_are_stored(tiny, fit):
    """A step moves W, not W / sigma; an average of the generator has both W and the vectors of its iteration."""
    gan = SAGAN([1, 8, 8], latent_dim=6, **RESNET)
    gan.create_ema()
    names = {name for name, _ in gan.generator.named_parameters()}
    assert "foot.0.parametrizations.weight.original" in names
    fit(gan, tiny(), batches=2)
    gan.update_ema(0.0)
    z = torch.randn(3, 6)
    live, average = gan.generator.eval(), gan.ema["generator"]
    torch.testing.assert_close(average(z), live(z), rtol=0, atol=0)
