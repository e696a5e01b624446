"""Interrupted and resumed is uninterrupted, to the last bit; and nothing that only watches touches training."""

import functools

import pytest
import torch
from training_runs import BUSY, DCGAN_RUN, QUIET, SILENT, VAE_RUN, content, different, fit_command, only_run

from lightning_gen.checkpoint import find_checkpoint
from lightning_gen.models.base import CHECKPOINT_KEY

BATCH = 250
TOTAL = 8 * BATCH
"""Two epochs of three batches and two thirds of the third."""

MODELS = {"vae": VAE_RUN, "dcgan": DCGAN_RUN}


def fit_new(pool, runs, options, images, world_size=1):
    """The folder of a new run."""
    pool(fit_command, [*options, *QUIET, f"--runs={runs}", f"--budget.images={images}"], world_size=world_size)
    return only_run(runs)


def checkpoint(folder, name="last"):
    return content(folder / "checkpoints" / f"{name}.ckpt")


@pytest.fixture(scope="module")
def whole(pool, tmp_path_factory):
    """``whole(model, world_size)``: the folder of an uninterrupted run with evaluation, pictures and checkpoints every two batches."""

    @functools.cache
    def run(model, world_size):
        return fit_new(pool, tmp_path_factory.mktemp("whole"), [*MODELS[model], *BUSY], TOTAL, world_size)

    return run


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(
    ("batches", "world_size"),
    [(1, 1), (2, 1), (3, 1), (4, 1), (5, 1), (6, 1), (7, 1), (3, 2), (4, 2)],
    ids=lambda value: str(value),
)
def test_interrupted_and_resumed_is_uninterrupted(model, batches, world_size, whole, pool, tmp_path):
    """In the middle of an epoch (1, 2, 4, 5, 7) and at its end (3, 6), between two updates of the generator (odd) and after one (even)."""
    folder = fit_new(pool, tmp_path, [*MODELS[model], *BUSY], batches * BATCH, world_size)
    assert checkpoint(folder)[CHECKPOINT_KEY]["batches_seen"] == batches
    pool(fit_command, ["--resume", str(folder), f"--budget.images={TOTAL}"], world_size=world_size)
    for name in ("last", "best"):
        assert different(checkpoint(folder, name), checkpoint(whole(model, world_size), name)) == []


@pytest.mark.parametrize("model", MODELS)
def test_several_interruptions_are_no_different_from_none(model, whole, pool, tmp_path):
    folder = fit_new(pool, tmp_path, [*MODELS[model], *BUSY], BATCH)
    for batches in (2, 3, 6, 7):
        pool(fit_command, ["--resume", str(folder), f"--budget.images={batches * BATCH}"])
    pool(fit_command, ["--resume", str(folder), f"--budget.images={TOTAL}"])
    assert different(checkpoint(folder), checkpoint(whole(model, 1))) == []


@pytest.mark.parametrize("batches", [1, 2, 3, 4])
@pytest.mark.parametrize("every", [250, 500])
def test_a_run_that_accumulates_gradients_stops_and_saves_after_whole_steps_only(batches, every, pool, tmp_path):
    """Two micro-batches to a step, but only one in the last step of an epoch of three."""
    options = [*VAE_RUN, *SILENT, "--trainer.accumulate_grad_batches=2", f"--checkpoints.every_images={every}"]
    uninterrupted = checkpoint(fit_new(pool, tmp_path / "whole", options, TOTAL))
    folder = fit_new(pool, tmp_path / "resumed", options, batches * BATCH)
    assert checkpoint(folder)[CHECKPOINT_KEY]["batches_seen"] == {1: 2, 2: 2, 3: 3, 4: 5}[batches]
    pool(fit_command, ["--resume", str(folder), f"--budget.images={TOTAL}"])
    assert different(checkpoint(folder), uninterrupted) == []


def test_the_uninterrupted_run_is_what_it_should_be(whole):
    """That the comparisons above compare something: a trained model with averages, momenta and a best score."""
    found = checkpoint(whole("dcgan", 1))
    assert found[CHECKPOINT_KEY]["images_seen"] == TOTAL
    assert found[CHECKPOINT_KEY]["has_ema"]
    generator, discriminator = (optimizer["state"] for optimizer in found["optimizer_states"])
    assert [next(iter(state.values()))["step"] for state in (generator, discriminator)] == [4, 8]
    live, average = (found["state_dict"][f"{prefix}generator.project.weight"] for prefix in ("", "ema."))
    assert not torch.equal(live, average)
    best = found["callbacks"]["GenerativeMetrics"]
    assert best["best"] is not None
    assert best["best_images"] == torch.load(find_checkpoint(whole("dcgan", 1)), weights_only=True)[CHECKPOINT_KEY]["images_seen"]


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("world_size", [1, 2])
def test_evaluation_pictures_and_checkpoints_do_not_touch_training(model, world_size, whole, pool, tmp_path):
    bare = checkpoint(fit_new(pool, tmp_path, [*MODELS[model], *SILENT], TOTAL, world_size))
    watched = checkpoint(whole(model, world_size))
    assert bare.pop("callbacks") != watched.pop("callbacks")
    assert different(bare, watched) == []
    assert len(list((whole(model, world_size) / "pictures").glob("*.png"))) == (9 if model == "vae" else 5)


def test_another_seed_is_another_run(whole, pool, tmp_path):
    """That ``different`` can see a difference."""
    other = checkpoint(fit_new(pool, tmp_path, [*VAE_RUN, *BUSY, "--seed_everything=1"], TOTAL))
    assert len(different(other, checkpoint(whole("vae", 1)))) > 10
