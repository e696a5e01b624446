"""The noise of a step is a function of (seed, step, rank): ranks and steps never share numbers, and a rerun draws the same."""

import pytorch_lightning as pl
import torch
from training_runs import Recipe, Scalar, train

from lightning_gen.models import VAE
from lightning_gen.noise import IndexedNoise


class Draws(Scalar):
    """Records what a step draws: by name, and from the global generator that dropout uses."""

    def record(self, batch, noise):
        dropped = torch.nn.functional.dropout(torch.ones(40), 0.5).nonzero().flatten().tolist()
        return noise.normal("z", (2,))[0].tolist(), noise.uniform("u", (2,))[0].tolist(), torch.rand(2).tolist(), dropped


class Positions(Scalar):
    """Records which indices the noise is keyed by."""

    def record(self, batch, noise):
        assert isinstance(noise, IndexedNoise)
        return noise.indices


def records(rank, world_size, recipe, images, options):
    return train(recipe, world_size, images, **options).model.records


def draws(pool, world_size, seed=3, images=96, **options):
    """``[rank][step][kind]``."""
    return pool(records, Recipe(Draws, seed=seed), images, options, world_size=world_size)


def test_ranks_and_steps_never_draw_the_same(pool):
    every = [step for rank in draws(pool, 2) for step in rank]
    assert len(every) == 12
    for kind in range(4):
        values = [tuple(step[kind]) for step in every]
        assert len({*values}) == 12


def test_a_rerun_draws_the_same_and_another_seed_does_not(pool):
    first = draws(pool, 2)
    assert draws(pool, 2) == first
    other = draws(pool, 2, seed=4)
    assert all(ours[0] != theirs[0] and ours[2] != theirs[2] for ours, theirs in zip(first[0], other[0], strict=True))


def test_nothing_that_draws_between_two_steps_matters(pool):
    assert draws(pool, 1) == draws(pool, 1, callbacks=[Thief()])


class Thief(pl.Callback):
    """Draws from the global generator between two steps."""

    def on_train_batch_end(self, *arguments):
        torch.rand(1)


def test_micro_batches_draw_different_noise_and_count_as_steps(pool):
    (plain,), (accumulated,) = draws(pool, 1), draws(pool, 1, accumulate_grad_batches=2)
    assert accumulated == plain
    assert len({tuple(step[0]) for step in accumulated}) == 6


def test_indexed_noise_is_keyed_by_the_position_in_the_training(pool):
    recipe = Recipe(Positions, noise="indexed")
    (alone,) = pool(records, recipe, 64, {})
    assert alone == [range(start, start + 16) for start in (0, 16, 32, 48)]
    first, second = pool(records, recipe, 64, {}, world_size=2)
    assert [[*one, *two] for one, two in zip(first, second, strict=True)] == [[*indices] for indices in alone]


def accumulation(rank, world_size, accumulate):
    arguments = {"latent_dim": 2, "encoder": {"class_path": "MLPEncoder", "hidden": [4]}}
    model = train(Recipe(VAE, arguments), world_size, 96, accumulate_grad_batches=accumulate).model
    return model.images_seen, model.batches_seen, model.trainer.global_step


def test_accumulation_counts_every_image_once_and_every_micro_batch(pool):
    for world_size in (1, 2):
        assert pool(accumulation, 2, world_size=world_size) == [(96, 6, 6 // 2)] * world_size
        assert pool(accumulation, 1, world_size=world_size) == [(96, 6, 6)] * world_size
