"""A flow on several processes: initialised by the whole first batch, and trained as on one."""

import pytest
import torch
from training_runs import Recipe, largest_difference, train, weights_after

from lightning_gen.models import MAF, Glow
from lightning_gen.nn import data_dependent

FLOAT64 = {"precision": "64-true"}
ARGUMENTS = {"num_steps": 2, "width": 4, "num_classes": 4, "conditional": True}


class Plain:
    """Moved by its gradients as they are: Adam divides by their size, and some vanish at the start but for rounding."""

    def configure_optimizers(self):
        return torch.optim.SGD(self.trained_parameters(), lr=self.hparams.learning_rate)


class PlainGlow(Plain, Glow):
    """Initialised by the first batch."""


class PlainMAF(Plain, MAF):
    """With statistics of every batch, in its loss, in its gradients and in its buffers."""


GLOW = Recipe(PlainGlow, ARGUMENTS | {"learning_rate": 0.1}, noise="indexed")
NORMALIZED = Recipe(PlainMAF, {"num_layers": 2, "hidden": [8], "alpha": 0.05, "learning_rate": 0.1}, noise="indexed")


@pytest.mark.parametrize("recipe", [GLOW, NORMALIZED], ids=["Glow", "MAF"])
@pytest.mark.parametrize("steps", [1, 2])
def test_two_processes_equal_one(steps, recipe, pool):
    (alone,) = pool(weights_after, recipe, steps * 16, FLOAT64)
    first, second = pool(weights_after, recipe, steps * 16, FLOAT64, world_size=2)
    assert largest_difference(alone, first) < 1e-12
    assert largest_difference(first, second) == 0


def initialized(rank, world_size, careless):
    """This rank's weights after initialisation and a step that moves nothing; ``careless`` is the mistake: statistics of its own part."""
    mean = data_dependent.global_mean
    if careless:
        data_dependent.global_mean = lambda tensor: tensor
    try:
        model = train(Recipe(PlainGlow, ARGUMENTS | {"learning_rate": 1e-300}, noise="indexed"), world_size, 16, **FLOAT64).model
        return {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    finally:
        data_dependent.global_mean = mean


@pytest.mark.parametrize("careless", [False, True])
def test_the_initialisation_is_of_the_whole_batch_and_the_comparison_sees_one_that_is_not(careless, pool):
    (alone,) = pool(initialized, careless)
    first, second = pool(initialized, careless, world_size=2)
    names = {name for name in alone if name.endswith(("shift", "log_scale", "first.bias", "second.bias"))}
    assert len(names) == 24
    for name in names:
        assert alone[name].any()
    difference = max(largest_difference(alone, of_rank) for of_rank in (first, second))
    assert (difference > 1e-3) if careless else (difference < 1e-12)
