"""The codebook on several processes and across an interruption: one codebook, whatever the launch."""

import functools

import pytest
import torch
from training_runs import QUIET, SILENT, Each, Recipe, content, different, fit_command, largest_difference, only_run, train, weights_after

from lightning_gen.distributed import global_mean
from lightning_gen.models import VQVAE
from lightning_gen.models.base import CHECKPOINT_KEY
from lightning_gen.nn import quantizer

FLOAT64 = {"precision": "64-true"}
ARGUMENTS = {
    "code_shape": [4],
    "num_codes": 8,
    "code_dim": 3,
    "encoder": {"class_path": "MLPEncoder", "hidden": [16]},
    "decoder": {"class_path": "MLPDecoder", "hidden": [16]},
    "likelihood": "DiscretizedLogistic",
    "learning_rate": 0.01,
    "decay": 0.8,
    "restart_below": 0.3,
}
IMAGES = 12 * 16


def recipe(**more):
    return Recipe(VQVAE, ARGUMENTS | more, noise="indexed")


@pytest.mark.parametrize("more", [{}, {"prior_from_images": 80}, {"restart_below": 0.0}], ids=["together", "stages", "no_restarts"])
def test_two_processes_equal_one(more, pool):
    """Weights, codebook, running means and the counts of uses."""
    (alone,) = pool(weights_after, recipe(**more), IMAGES, FLOAT64)
    first, second = pool(weights_after, recipe(**more), IMAGES, FLOAT64, world_size=2)
    assert {"quantizer.codebook", "quantizer.counts", "quantizer.sums", "code_uses"} <= alone.keys()
    assert largest_difference(alone, first) < 1e-12
    assert largest_difference(first, second) == 0


def test_ranks_hold_the_same_codebook_with_noise_of_their_own(pool):
    first, second = pool(weights_after, Recipe(VQVAE, ARGUMENTS), IMAGES, {}, world_size=2)
    assert largest_difference(first, second) == 0


def codebooks(rank, world_size, careless):
    """This rank's codebook after every batch; ``careless`` is the mistake: every rank's sums are its own."""
    total = quantizer.global_sum
    if careless:
        quantizer.global_sum = lambda tensor: global_mean(tensor) if tensor.dim() != 2 else tensor
    try:
        look = Each(lambda model: model.quantizer.codebook.clone())
        train(Recipe(VQVAE, ARGUMENTS | {"restart_below": 0.0}), world_size, 3 * 16, [look])
        return look.seen
    finally:
        quantizer.global_sum = total


@pytest.mark.parametrize("careless", [False, True])
def test_the_codebook_is_one_after_every_batch_and_the_comparison_sees_sums_that_are_not_reduced(careless, pool):
    first, second = pool(codebooks, careless, world_size=2)
    assert all(torch.equal(*pair) for pair in zip(first, second, strict=True)) != careless


def restarts(rank, world_size):
    """How often a code jumped, which no running mean does."""
    look = Each(lambda model: model.quantizer.counts.clone())
    train(recipe(), world_size, IMAGES, [look], **FLOAT64)
    average = 16 * 4 / 8
    return sum(int((counts == average).sum()) for counts in look.seen[1:])


def test_the_equality_covers_restarts(pool):
    assert pool(restarts)[0] > 0


VQ_RUN = (
    *("--config=vq_vae_digits", "--data.init_args.batch_size=250", "--model.init_args.num_codes=8", "--model.init_args.code_dim=3"),
    *("--model.init_args.encoder={class_path: MLPEncoder, init_args: {hidden: [16]}}",),
    *("--model.init_args.decoder={class_path: MLPDecoder, init_args: {hidden: [16]}}",),
    *("--model.init_args.prior_from_images=1250", "--ema.half_life_images=600", "--model.init_args.decay_images=5000"),
)
BATCH, TOTAL = 250, 2000
"""Three batches of 250 to the epoch; the first stage ends after five, in the middle of the second epoch."""


def fit_new(pool, runs, images):
    pool(fit_command, [*VQ_RUN, *SILENT, *QUIET, f"--runs={runs}", f"--budget.images={images}"])
    return only_run(runs)


@pytest.fixture(scope="module")
def whole(pool, tmp_path_factory):
    @functools.cache
    def run():
        return content(fit_new(pool, tmp_path_factory.mktemp("whole"), TOTAL) / "checkpoints" / "last.ckpt")

    return run


@pytest.mark.parametrize("batches", [3, 4, 5, 6])
def test_interrupted_about_the_boundary_and_resumed_is_uninterrupted(batches, whole, pool, tmp_path):
    folder = fit_new(pool, tmp_path, batches * BATCH)
    assert content(folder / "checkpoints" / "last.ckpt")[CHECKPOINT_KEY]["batches_seen"] == batches
    pool(fit_command, ["--resume", str(folder), f"--budget.images={TOTAL}"])
    assert different(content(folder / "checkpoints" / "last.ckpt"), whole()) == []


def test_averages_of_a_finished_first_stage_are_what_it_ended_as():
    model = VQVAE([1, 8, 8], **ARGUMENTS, prior_from_images=10)
    model.create_ema()
    with torch.no_grad():
        for parameter in model.trained_parameters():
            parameter.add_(1.0)
    model.images_seen = 10
    model.update_ema(0.9)
    assert not torch.equal(model.ema["encoder"].layers[0].weight, model.encoder.layers[0].weight)
    model.images_seen = 11
    model.update_ema(0.9)
    for name in ("encoder", "decoder", "likelihood", "quantizer"):
        averages, live = model.ema[name].state_dict(), getattr(model, name).state_dict()
        assert all(torch.equal(averages[key], live[key]) for key in live)
    assert not torch.equal(*(next(iter(prior.parameters())) for prior in (model.ema["code_prior"], model.code_prior)))
