"""Latent counts on several processes: both gradients of the Poisson VAE train as on one."""

import pytest
from training_runs import Recipe, largest_difference, weights_after

from lightning_gen.models import PoissonVAE

ARGUMENTS = {
    "latent_dim": 4,
    "encoder": {"class_path": "MLPEncoder", "hidden": [16]},
    "decoder": {"class_path": "MLPDecoder", "hidden": [16]},
    "likelihood": "DiscretizedLogistic",
    "learning_rate": 0.01,
}
GRADIENTS = {"score_function": {}, "relaxed": {"gradient": "relaxed", "num_samples": 2, "temperature": 0.3, "temperature_images": 100}}


@pytest.mark.parametrize("gradient", GRADIENTS)
def test_two_processes_equal_one(gradient, pool):
    recipe = Recipe(PoissonVAE, ARGUMENTS | GRADIENTS[gradient], noise="indexed")
    (alone,) = pool(weights_after, recipe, 12 * 16, {"precision": "64-true"})
    first, second = pool(weights_after, recipe, 12 * 16, {"precision": "64-true"}, world_size=2)
    assert largest_difference(alone, first) < 1e-12
    assert largest_difference(first, second) == 0
