"""Two processes train every GAN as one does: its penalties, its spectral normalisation and its means over the whole batch."""

import pytest
import torch
from test_world_size import FLOAT64, compare, recipe
from training_runs import largest_difference, weights_after

from lightning_gen.models import ACGAN, DRAGAN, LSGAN, SNGAN, WGAN, WGANGP, BiGAN, InfoGAN, LatentRegressorGAN, RelativisticGAN
from lightning_gen.models.gans.regularizers import gradient_penalty
from lightning_gen.nn.adversarial.base import JointDiscriminator, Judgement
from lightning_gen.nn.mlp import mlp

GENERATOR = {"class_path": "MLPGenerator", "hidden": [16]}
NETWORKS = {"generator": GENERATOR, "discriminator": {"class_path": "MLPDiscriminator", "hidden": [16], "activation": "tanh"}}
"""Smooth: between the kinks of ReLUs a gradient is the same at every point, and a penalty is blind to where its points lie."""
EACH = {"latent_dim": 4, "learning_rate": 0.01, **NETWORKS}
CONVOLUTIONS = {"class_path": "DCGANDiscriminator", "width": 2, "normalization": "none"}
RESIDUAL = {"class_path": "ResNetDiscriminator", "width": 3}
ENCODING = {"latent_dim": 4, "learning_rate": 0.01, "generator": GENERATOR, "encoder": {"class_path": "MLPEncoder", "hidden": [16]}}
EVERY_POLICY = {"augmentation": ["color", "translation", "cutout"]}


class Joint(JointDiscriminator):
    """A discriminator of pairs that normalises nothing over the batch."""

    num_features = 16

    def __init__(self, data_shape, latent_dim):
        super().__init__()
        self.of_x = mlp(64, [16], 16, torch.nn.ReLU())
        self.of_z = torch.nn.Linear(latent_dim, 16, bias=False) if latent_dim else None
        self.head = torch.nn.Linear(16, 1)

    def forward(self, x, z, labels=None):
        features = (self.of_x(x.flatten(1)) + (0 if self.of_z is None else self.of_z(z))).relu()
        return Judgement(self.head(features), features)


class SmoothBiGAN(BiGAN):
    def build_discriminator(self):
        return Joint(self.data_shape, self.latent_dim)


class SmoothRegressor(LatentRegressorGAN):
    def build_discriminator(self):
        return Joint(self.data_shape, 0)


CASES = {
    "wgan": recipe(WGAN, **EACH, n_critic=2),
    "wgan_gp": recipe(WGANGP, **EACH, n_critic=1),
    "wgan_gp n_critic": recipe(WGANGP, **EACH, n_critic=5),
    "wgan_gp micro_batches": recipe(WGANGP, **EACH, n_critic=1, micro_batches=2),
    "wgan_gp generator_batches": recipe(WGANGP, **EACH, n_critic=2, micro_batches=2, generator_batches=2),
    "sngan": recipe(SNGAN, **EACH, n_critic=2),
    "sngan resnet": recipe(SNGAN, **EACH | {"discriminator": RESIDUAL}, n_critic=1, conditional=True, num_classes=4),
    "dragan": recipe(DRAGAN, **EACH),
    "relativistic": recipe(RelativisticGAN, **EACH, gamma=1.0),
    "relativistic micro_batches": recipe(RelativisticGAN, **EACH, gamma=1.0, micro_batches=2),
    "relativistic average": recipe(RelativisticGAN, **EACH, gamma=1.0, objective="average"),
    "augmented": recipe(LSGAN, **EACH | {"discriminator": CONVOLUTIONS}, **EVERY_POLICY),
    "acgan": recipe(ACGAN, **EACH, num_classes=4),
    "infogan": recipe(InfoGAN, **EACH, categories=[3, 2]),
    "bigan": recipe(SmoothBiGAN, **ENCODING),
    "latent regressor": recipe(SmoothRegressor, **ENCODING, joint=True),
}
IMAGES = 6 * 16
"""Six batches, three epochs."""
CONSTANT = "discriminator.head.bias"
WITHOUT_CONSTANT = ["relativistic average"]
"""Only differences of logits have a meaning: the constant's gradient is zero but for rounding, which Adam makes larger."""


@pytest.mark.parametrize("name", CASES)
def test_two_processes_equal_one(name, pool):
    (alone,) = pool(weights_after, CASES[name], IMAGES, FLOAT64)
    first, second = pool(weights_after, CASES[name], IMAGES, FLOAT64, world_size=2)
    assert largest_difference(first, second) == 0
    if name in WITHOUT_CONSTANT:
        assert abs(float(alone.pop(CONSTANT) - first.pop(CONSTANT))) < 1e-8
    assert largest_difference(alone, first) < 1e-12


@pytest.mark.parametrize(("first", "second"), [("wgan_gp", "wgan_gp n_critic"), ("relativistic", "relativistic average")])
def test_options_that_the_equality_covers_do_change_training(first, second, pool):
    (one,), (other,) = (pool(weights_after, CASES[name], IMAGES, FLOAT64) for name in (first, second))
    assert largest_difference(one, other) > 1e-4


def test_micro_batches_are_the_whole_batch_where_nothing_is_normalised_over_it(pool):
    """Also over six updates of both networks."""
    for first, second in (("wgan_gp", "wgan_gp micro_batches"), ("relativistic", "relativistic micro_batches")):
        (one,), (other,) = (pool(weights_after, CASES[name], IMAGES, FLOAT64) for name in (first, second))
        assert largest_difference(one, other) < 1e-12


class OwnDeviation(DRAGAN):
    """A mistake: every process takes its own images' deviation."""

    def discriminator_terms(self, real, fake, noise):
        u = noise.uniform("penalty", tuple(real.x.shape[1:]))
        penalty = gradient_penalty(self.discriminator, real.x + real.x.std(correction=0) * u / 2, None)
        return super(DRAGAN, self).discriminator_terms(real, fake, noise) | {"gradient_penalty": 10 * penalty}


class OwnMean(RelativisticGAN):
    """A mistake: every process takes its own logits' mean."""

    def relative(self, higher, lower):
        softplus = torch.nn.functional.softplus
        return (softplus(lower.mean() - higher).mean() + softplus(lower - higher.mean()).mean()) / 2


@pytest.mark.parametrize("what", [recipe(OwnDeviation, **EACH), recipe(OwnMean, **EACH)], ids=["dragan", "relativistic"])
def test_the_comparison_sees_statistics_of_one_process(what, pool):
    to_one, between = compare(pool, what, IMAGES)
    assert to_one > 1e-6
    assert between == 0
