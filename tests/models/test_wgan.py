"""The Wasserstein GAN: a difference of means, of a critic whose weights are kept in a box by the paper's optimiser."""

import pytest
import pytorch_lightning as pl
import torch
from adversarial_checks import MLP, SHAPE, discriminator_terms, generator_terms

from lightning_gen.errors import UserError
from lightning_gen.models import WGAN, WGANGP


def model(**options):
    return WGAN(list(SHAPE), latent_dim=2, **MLP, **options)


def test_the_critics_loss_is_the_difference_of_means_and_the_generators_its_part():
    assert discriminator_terms(model()) == pytest.approx({"discriminator_real": 1 / 3, "discriminator_fake": 2.5 / 3})
    assert generator_terms(model()) == pytest.approx({"generator_fake": -2.5 / 3})


def test_an_image_is_taken_for_real_above_the_middle_of_both_means():
    """Means of 11 and 5, hence 8."""
    found = model().accuracy(torch.tensor([9.0, 17.0, 7.0]), torch.tensor([8.5, 2.0, 4.5]))
    assert {name: float(value) for name, value in found.items()} == pytest.approx({"accuracy_real": 2 / 3, "accuracy_fake": 2 / 3})


class Box(pl.Callback):
    """The largest weight of either network after every batch."""

    def __init__(self):
        self.largest = []

    def on_train_batch_end(self, trainer, model, *_):
        networks = (model.discriminator, model.generator)
        self.largest.append([max(float(p.detach().abs().max()) for p in network.parameters()) for network in networks])


@pytest.mark.parametrize("weight_clip", [0.01, 0.05])
def test_after_every_update_all_weights_of_the_critic_lie_in_the_box_and_some_on_it(tiny, fit, weight_clip):
    box = Box()
    gan = WGAN([1, 8, 8], latent_dim=2, **MLP, n_critic=2, learning_rate=0.01, weight_clip=weight_clip)
    fit(gan, tiny(), batches=4, callbacks=[box])
    assert [critic for critic, _ in box.largest] == pytest.approx([weight_clip] * 4)
    assert min(generator for _, generator in box.largest) > weight_clip, "the generator's are free"


def test_the_optimisers_are_rmsprop_at_the_papers_rate():
    for optimizer in model().configure_optimizers():
        assert isinstance(optimizer, torch.optim.RMSprop)
        assert (optimizer.param_groups[0]["lr"], optimizer.param_groups[0]["momentum"]) == (5e-5, 0)


def test_wgan_gps_are_adam_without_a_first_moment():
    for optimizer in WGANGP([1, 8, 8]).configure_optimizers():
        assert isinstance(optimizer, torch.optim.Adam)
        assert (optimizer.param_groups[0]["lr"], optimizer.param_groups[0]["betas"]) == (1e-4, (0.0, 0.9))


@pytest.mark.parametrize("cls", [WGAN, WGANGP])
def test_the_critic_moves_five_times_as_often(cls):
    assert cls([1, 8, 8]).hparams.n_critic == 5


def test_images_that_were_held_out_are_measured_by_the_boundary_of_training():
    """A critic that knows its own images by heart lifts them alone; by the middle of the held-out means it would still be right."""
    critic = model().train()
    critic.accuracy(torch.tensor([10.0, 12.0]), torch.tensor([0.0, 0.0]))
    found = critic.eval().accuracy(torch.tensor([1.0, 1.5]), torch.tensor([0.0, 0.0]))
    assert {name: float(value) for name, value in found.items()} == {"accuracy_real": 0.0, "accuracy_fake": 1.0}


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"weight_clip": 0.0}, "model.weight_clip: expected a positive number, got 0.0"),
        ({"betas": [0.0, 0.9]}, r"model.betas: RMSProp has none; expected nothing, got \[0.0, 0.9\]"),
    ],
)
def test_what_wgan_has_no_use_for_is_refused(options, line):
    with pytest.raises(UserError, match=f"^{line}"):
        model(**options)
