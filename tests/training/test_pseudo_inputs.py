"""A VampPrior's pseudo-inputs while they are trained: the same on one and two processes, and images all the time."""

import pytest
import torch
from training_runs import Each, Recipe, Small, train

from lightning_gen.models import VampPriorVAE

MLP = {"encoder": {"class_path": "MLPEncoder", "hidden": [9]}, "decoder": {"class_path": "MLPDecoder", "hidden": [9]}}


def recipe(count=5, **options):
    return Recipe(VampPriorVAE, {"latent_dim": 3, "num_pseudo_inputs": count, **MLP, **options}, noise="indexed")


def after(rank, world_size, count):
    return train(recipe(count), world_size, 48, data=Small(seed=3)).model.pseudo_inputs.values.detach()


@pytest.mark.parametrize("count", [5, 40])
def test_they_start_and_learn_alike_on_one_and_two_processes(count, pool):
    (alone,) = pool(after, count)
    first, second = pool(after, count, world_size=2)
    assert torch.equal(first, second)
    torch.testing.assert_close(first, alone, rtol=0, atol=1e-4)


def test_they_stay_in_the_range_of_images_and_a_pixel_at_its_edge_can_come_back():
    after = Each(lambda model: model.pseudo_inputs.values.detach().clone())
    train(recipe(learning_rate=0.03), 1, 480, [after], data=Small(seed=3))
    values = torch.stack(after.seen)
    assert (values.min(), values.max()) == (0, 1)
    at_the_edge = (values[:-1] == 0) | (values[:-1] == 1)
    assert (at_the_edge & (values[1:] > 0) & (values[1:] < 1)).any()
