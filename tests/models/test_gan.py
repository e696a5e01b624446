"""The adversarial game: losses at hand-computed values, and each network moves only in its own phase."""

import math

import pytest
import pytorch_lightning as pl
import torch
from torch import nn

from lightning_gen.checkpoint import load_model
from lightning_gen.errors import UserError
from lightning_gen.images import to_symmetric
from lightning_gen.models import DCGAN, GAN
from lightning_gen.nn.adversarial.base import Judgement
from lightning_gen.noise import IndexedNoise, StepNoise

REAL, FAKE = torch.tensor([[1.0], [-2.0], [0.0]]), torch.tensor([[0.5], [3.0], [-1.0]])


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


class Judge(nn.Module):
    """A discriminator with given logits for the real images and for everything else."""

    def __init__(self, images):
        super().__init__()
        self.real = to_symmetric(images)
        self.on_real, self.on_fake = nn.Parameter(REAL.clone()), nn.Parameter(FAKE.clone())

    def forward(self, x, labels=None):
        logits = self.on_real if torch.equal(x, self.real) else self.on_fake
        return Judgement(logits, logits)


@pytest.fixture
def judged():
    """A GAN with a judge for a discriminator, and a batch."""
    images = torch.randint(0, 256, (3, 1, 4, 4), dtype=torch.uint8)

    def make(**options):
        model = GAN([1, 4, 4], latent_dim=2, hidden=[4], **options)
        model.discriminator = Judge(images)
        return model, (images, torch.zeros(3, dtype=torch.int64)), IndexedNoise(0, range(3))

    return make


@pytest.mark.parametrize("objective", ["minimax", "non_saturating"])
def test_the_discriminator_loss_is_the_cross_entropy_of_both_halves(judged, objective):
    model, batch, noise = judged(objective=objective)
    terms = {name: value.item() for name, value in model.discriminator_loss(batch, noise).items()}
    real = -sum(math.log(sigmoid(logit)) for logit in (1, -2, 0)) / 3
    fake = -sum(math.log(1 - sigmoid(logit)) for logit in (0.5, 3, -1)) / 3
    losses = {"discriminator_loss": real + fake, "discriminator_real": real, "discriminator_fake": fake}
    assert terms == pytest.approx(losses | {"accuracy_real": 1 / 3, "accuracy_fake": 1 / 3})


def test_a_discriminator_that_does_not_know_costs_two_log_two(judged):
    model, batch, noise = judged()
    for logits in (model.discriminator.on_real, model.discriminator.on_fake):
        nn.init.zeros_(logits)
    assert model.discriminator_loss(batch, noise)["discriminator_loss"].item() == pytest.approx(2 * math.log(2))


@pytest.mark.parametrize(
    ("objective", "expected"),
    [
        ("minimax", sum(math.log(1 - sigmoid(logit)) for logit in (0.5, 3, -1)) / 3),
        ("non_saturating", -sum(math.log(sigmoid(logit)) for logit in (0.5, 3, -1)) / 3),
    ],
)
def test_the_generator_loss_is_that_of_its_objective(judged, objective, expected):
    model, batch, noise = judged(objective=objective)
    assert model.generator_loss(batch, noise)["generator_loss"].item() == pytest.approx(expected)


@pytest.mark.parametrize(("objective", "slope"), [("minimax", -sigmoid(-20)), ("non_saturating", -sigmoid(20))])
def test_while_the_discriminator_wins_minimax_saturates_and_the_other_does_not(judged, objective, slope):
    model, batch, noise = judged(objective=objective)
    nn.init.constant_(model.discriminator.on_fake, -20)
    (gradient,) = torch.autograd.grad(model.generator_loss(batch, noise)["generator_loss"], model.discriminator.on_fake)
    torch.testing.assert_close(gradient, torch.full((3, 1), slope / 3), rtol=1e-4, atol=0)


@pytest.mark.parametrize("objective", ["minimax", "non_saturating"])
def test_both_objectives_ask_for_higher_logits(judged, objective):
    model, batch, noise = judged(objective=objective)
    (gradient,) = torch.autograd.grad(model.generator_loss(batch, noise)["generator_loss"], model.discriminator.on_fake)
    assert (gradient < 0).all()


def test_the_losses_are_finite_at_extreme_logits(judged):
    model, batch, noise = judged()
    nn.init.constant_(model.discriminator.on_real, -1e4)
    nn.init.constant_(model.discriminator.on_fake, 1e4)
    assert model.discriminator_loss(batch, noise)["discriminator_loss"].item() == pytest.approx(2e4)


def test_the_discriminator_loss_does_not_reach_the_generator():
    model = GAN([1, 4, 4], latent_dim=2, hidden=[4])
    images = torch.randint(0, 256, (3, 1, 4, 4), dtype=torch.uint8)
    model.discriminator_loss((images, torch.zeros(3)), IndexedNoise(0, range(3)))["discriminator_loss"].backward()
    assert all(parameter.grad is None for parameter in model.generator.parameters())
    assert all((parameter.grad != 0).any() for parameter in model.discriminator.parameters())


def test_the_two_phases_see_different_draws_of_z():
    model, noise = GAN([1, 4, 4], latent_dim=2), StepNoise(3, 0, 1)
    assert not torch.equal(model.prior(noise, "z/discriminator"), model.prior(noise, "z/generator"))


# The algorithm.


def parameters(network):
    return torch.cat([parameter.detach().flatten() for parameter in network.parameters()])


class Watched(GAN):
    """Notes, for each update, which networks it changed and which gradients were new."""

    updates: list

    def descend(self, player, losses, batch, noise, optimizer):
        networks = {"generator": self.generator, "discriminator": self.discriminator}
        before = {name: (parameters(network), self.gradients(network)) for name, network in networks.items()}
        super().descend(player, losses, batch, noise, optimizer)
        moved = [name for name, network in networks.items() if not torch.equal(parameters(network), before[name][0])]
        touched = [name for name, network in networks.items() if not torch.equal(self.gradients(network), before[name][1])]
        self.updates.append((moved, touched))

    @staticmethod
    def gradients(network):
        return torch.cat([torch.zeros(1) if p.grad is None else p.grad.flatten().clone() for p in network.parameters()])


@pytest.mark.parametrize("objective", ["minimax", "non_saturating"])
def test_the_other_network_is_frozen_in_each_phase(tiny, fit, objective):
    model = Watched([1, 8, 8], latent_dim=2, hidden=[4], objective=objective)
    model.updates = []
    fit(model, tiny(), batches=3)
    assert model.updates == [(["discriminator"],) * 2, (["generator"],) * 2] * 3
    assert all(parameter.requires_grad for parameter in model.parameters())


class Cadence(pl.Callback):
    """After each batch, whether generator and discriminator have changed in it."""

    def __init__(self):
        self.changed = []

    def on_train_batch_start(self, trainer, model, *_):
        self.before = [parameters(network) for network in (model.generator, model.discriminator)]

    def on_train_batch_end(self, trainer, model, *_):
        after = [parameters(network) for network in (model.generator, model.discriminator)]
        self.changed.append(tuple(not torch.equal(one, other) for one, other in zip(self.before, after, strict=True)))


@pytest.mark.parametrize(("n_critic", "generator"), [(1, [1, 2, 3, 4, 5, 6]), (2, [2, 4, 6]), (4, [4])])
def test_the_generator_moves_in_every_nth_batch_and_the_discriminator_in_all(tiny, fit, n_critic, generator):
    cadence = Cadence()
    fit(GAN([1, 8, 8], latent_dim=2, hidden=[4], n_critic=n_critic), tiny(), batches=6, callbacks=[cadence])
    assert cadence.changed == [(batch in generator, True) for batch in range(1, 7)]


def test_the_cadence_continues_after_an_interruption(tiny, fit, tmp_path):
    model = GAN([1, 8, 8], latent_dim=2, hidden=[4], n_critic=3)
    fit(model, tiny(), batches=2).save_checkpoint(tmp_path / "model.ckpt")
    cadence, model = Cadence(), load_model(tmp_path / "model.ckpt")
    fit(model.train(), tiny(), batches=4, callbacks=[cadence])
    assert [generator for generator, _ in cadence.changed] == [True, False, False, True]


class Clipped(GAN):
    """Notes the norm of each gradient before and after clipping, and whether its direction is kept."""

    norms: list

    def on_before_optimizer_step(self, optimizer):
        def gradient():
            return torch.cat([p.grad.flatten() for group in optimizer.param_groups for p in group["params"]])

        before = gradient()
        super().on_before_optimizer_step(optimizer)
        after = gradient()
        self.norms.append((float(before.norm()), float(after.norm()), float(torch.cosine_similarity(before, after, dim=0))))


@pytest.mark.parametrize("clip_norm", [1e-3, 0.0, 1e6])
def test_clipping_bounds_the_gradient_of_either_network_and_keeps_its_direction(tiny, fit, clip_norm):
    model = Clipped([1, 8, 8], latent_dim=2, hidden=[4], clip_norm=clip_norm)
    model.norms = []
    fit(model, tiny(), batches=2)
    assert len(model.norms) == 4
    for before, after, cosine in model.norms:
        assert before > 1e-3
        assert after == pytest.approx(1e-3 if clip_norm == 1e-3 else before, rel=1e-3)
        assert cosine == pytest.approx(1, abs=1e-5)


def rates(model):
    return [optimizer.param_groups[0]["lr"] for optimizer in model.optimizers(use_pl_optimizer=False)]


@pytest.mark.parametrize(("batches", "factor"), [(1, 0.75), (2, 0.5), (4, 0.0), (6, 0.0)])
def test_the_learning_rates_fall_linearly_over_the_images_seen(tiny, fit, batches, factor):
    model = GAN([1, 8, 8], latent_dim=2, hidden=[4], learning_rate=0.01, discriminator_learning_rate=0.04, decay_images=64)
    fit(model, tiny(), batches=batches)
    assert rates(model) == pytest.approx([0.01 * factor, 0.04 * factor])


def test_without_decay_the_rates_stay(tiny, fit):
    model = GAN([1, 8, 8], latent_dim=2, hidden=[4], learning_rate=0.01)
    fit(model, tiny(), batches=3)
    assert rates(model) == [0.01, 0.01]


class Scheduled(GAN):
    """The learning rates by torch's schedulers."""

    def configure_optimizers(self):
        optimizers = super().configure_optimizers()
        return optimizers, [
            torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma) for optimizer, gamma in zip(optimizers, (0.5, 0.1), strict=True)
        ]


@pytest.mark.parametrize(("n_critic", "updates"), [(1, 4), (2, 2)])
def test_a_scheduler_of_a_subclass_is_stepped_once_per_update_of_its_network(tiny, fit, n_critic, updates):
    model = Scheduled([1, 8, 8], latent_dim=2, hidden=[4], learning_rate=1.0, n_critic=n_critic)
    fit(model, tiny(), batches=4)
    assert rates(model) == pytest.approx([0.5**updates, 0.1**4])


@pytest.mark.parametrize("options", [{"latent_dim": 0}, {"n_critic": 0}])
def test_options_without_meaning_are_refused(options):
    with pytest.raises(UserError, match="expected at least 1"):
        GAN([1, 8, 8], **options)


# Sampling.


def test_a_sample_is_the_generated_prior_draw():
    model, noise = GAN([1, 4, 4], latent_dim=2), IndexedNoise(0, range(9))
    with model.inference():
        assert torch.equal(model.sample_images(noise), model.decode(noise.normal("z", (2,))))


@pytest.mark.parametrize("num_bits", [1, 3, 8])
def test_images_have_the_levels_of_the_data(num_bits):
    model = GAN([1, 8, 8], latent_dim=2, num_bits=num_bits)
    with torch.no_grad():
        for parameter in model.generator.parameters():
            parameter.mul_(5)
    levels = model.sample(64).unique()
    assert set(levels.tolist()) <= {round(255 * level / (2**num_bits - 1)) for level in range(2**num_bits)}
    assert {0, 255} <= set(levels.tolist())


# DCGAN.


def test_dcgan_starts_from_the_papers_distributions():
    model = DCGAN([3, 32, 32], width=32).requires_grad_(False)
    convolutions = [layer for layer in model.modules() if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear)]
    for layer in convolutions:
        count = layer.weight.numel()
        assert abs(float(layer.weight.mean())) < 5 * 0.02 / math.sqrt(count)
        assert float(layer.weight.std()) == pytest.approx(0.02, rel=5 / math.sqrt(2 * count))
        assert layer.bias is None or not layer.bias.any()
    norms = [layer for layer in model.modules() if isinstance(layer, nn.BatchNorm2d)]
    gains = torch.cat([layer.weight for layer in norms])
    assert float(gains.mean()) == pytest.approx(1, abs=5 * 0.02 / math.sqrt(len(gains)))
    assert float(gains.std()) == pytest.approx(0.02, rel=0.2)
    assert not any(layer.bias.any() for layer in norms)


def test_dcgan_normalises_neither_the_generators_output_nor_the_discriminators_input():
    model = DCGAN([3, 32, 32], width=8)
    generator, discriminator = list(model.generator.layers), list(model.discriminator.layers)
    assert [type(layer) for layer in generator[-2:]] == [nn.ConvTranspose2d, nn.Tanh]
    assert [type(layer) for layer in discriminator[:2]] == [nn.Conv2d, nn.LeakyReLU]
    assert {layer.negative_slope for layer in discriminator if isinstance(layer, nn.LeakyReLU)} == {0.2}
    assert sum(isinstance(layer, nn.BatchNorm2d) for layer in generator) == 3
    assert sum(isinstance(layer, nn.BatchNorm2d) for layer in discriminator) == 2


def test_dcgans_prior_is_uniform_in_minus_one_to_one():
    z = DCGAN([1, 8, 8], latent_dim=50, width=4).prior(IndexedNoise(0, range(200)), "z")
    assert (z.shape, float(z.min()) >= -1, float(z.max()) < 1) == ((200, 50), True, True)
    assert abs(float(z.mean())) < 5 / math.sqrt(3 * z.numel())
    assert float(z.square().mean()) == pytest.approx(1 / 3, abs=5 * math.sqrt(4 / 45 / z.numel()))


@pytest.mark.parametrize("side", [8, 28, 32, 64])
@pytest.mark.parametrize("channels", [1, 3])
def test_dcgan_takes_the_usual_sizes(side, channels):
    model = DCGAN([channels, side, side], width=2, latent_dim=5)
    x = model.generator(torch.randn(2, 5))
    assert x.shape == (2, channels, side, side)
    assert float(x.abs().max()) <= 1
    assert model.discriminator(x).logits.shape == (2, 1)
    assert model.sample(1).shape == (1, channels, side, side)


@pytest.mark.parametrize("shape", [[1, 50, 50], [3, 7, 7], [2]])
def test_dcgan_refuses_other_sizes(shape):
    with pytest.raises(UserError, match="data_shape: "):
        DCGAN(shape)


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"decay_images": -100}, "model.decay_images: expected at least 0, got -100"),
        ({"clip_norm": -1.0}, "model.clip_norm: expected at least 0, got -1.0"),
        ({"learning_rate": 0.0}, "model.learning_rate: expected a positive number, got 0.0"),
        ({"discriminator_learning_rate": -1.0}, "model.discriminator_learning_rate: expected a positive number, got -1.0"),
        ({"betas": [0.5]}, r"model.betas: expected two numbers from 0 to below 1, got \[0.5\]"),
        ({"betas": [0.5, 1.5]}, "model.betas: expected two numbers"),
        ({"n_critic": 0}, "model.n_critic: expected at least 1, got 0"),
        ({"hidden": [0]}, "model.hidden: expected at least 1, got 0"),
    ],
)
def test_a_hyperparameter_out_of_range_is_refused_by_name(options, line):
    with pytest.raises(UserError, match=f"^{line}"):
        GAN([1, 8, 8], **options)
