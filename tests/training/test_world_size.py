"""Two processes with batches of 8 train as one with batches of 16; and all processes hold the same model."""

import pathlib

import pytest
import torch
from training_runs import Each, Outcome, Recipe, Scalar, Small, largest_difference, new_trainer, train, weights_after

from lightning_gen.callbacks.checkpoints import Checkpoints
from lightning_gen.callbacks.ema import EMA
from lightning_gen.callbacks.generative_metrics import GenerativeMetrics
from lightning_gen.callbacks.run_folder import RunFolder
from lightning_gen.data import Digits
from lightning_gen.evaluation import Plan, Scoring, evaluate
from lightning_gen.models import DCGAN, GAN, IWAE, VAE, BetaTCVAE, BetaVAE, ConditionalVAE

FLOAT64 = {"precision": "64-true"}
MLP = {"hidden": [16], "latent_dim": 4, "learning_rate": 0.01}
VAE_ARGUMENTS = {
    "latent_dim": 4,
    "encoder": {"class_path": "MLPEncoder", "hidden": [16]},
    "decoder": {"class_path": "MLPDecoder", "hidden": [16]},
    "likelihood": "DiscretizedLogistic",
    "learning_rate": 0.01,
}
IMAGES = 12 * 16
"""Twelve batches, six epochs."""


class PlainBackward(GAN):
    """The mistake that trains silently wrong: DDP does not see the gradients."""

    def manual_backward(self, loss, *args, **kwargs):
        loss.backward(*args, **kwargs)


class AmbientGAN(GAN):
    """A mistake of another kind: noise that is not an argument, the same formula on every rank."""

    def prior(self, noise, name):
        return torch.randn(len(noise), self.latent_dim)


def recipe(model, **arguments):
    return Recipe(model, arguments, noise="indexed")


def compare(pool, what, images=IMAGES, **options):
    """The difference of 1 and 2 processes, and of the 2 ranks."""
    (alone,) = pool(weights_after, what, images, FLOAT64 | options, world_size=1)
    first, second = pool(weights_after, what, images, FLOAT64 | options, world_size=2)
    return largest_difference(alone, first), largest_difference(first, second)


@pytest.mark.parametrize(
    "what",
    [
        recipe(GAN, **MLP),
        recipe(GAN, **MLP, n_critic=2),
        recipe(GAN, **MLP, clip_norm=0.1),
        recipe(GAN, **MLP, clip_norm=0.1, n_critic=2, decay_images=300, objective="minimax"),
        recipe(GAN, **MLP, conditional=True, num_classes=4),
        recipe(VAE, **VAE_ARGUMENTS),
        recipe(VAE, **VAE_ARGUMENTS, kl_estimator="monte_carlo", decay_images=300),
        recipe(VAE, **VAE_ARGUMENTS, free_bits=0.05, kl_warmup_images=200),
        recipe(BetaVAE, **VAE_ARGUMENTS, capacity=0.5, capacity_images=100),
        recipe(BetaTCVAE, **VAE_ARGUMENTS),
        recipe(IWAE, **VAE_ARGUMENTS, num_samples=3, gradient="doubly_reparameterized"),
        recipe(ConditionalVAE, **VAE_ARGUMENTS, learned_prior=True, num_classes=4),
    ],
    ids=[
        "gan",
        "n_critic",
        "clip_norm",
        "all",
        "conditional",
        "vae",
        "monte_carlo",
        "free_bits",
        "capacity",
        "tc",
        "iwae",
        "conditional_vae",
    ],
)
def test_two_processes_equal_one(what, pool):
    to_one, between = compare(pool, what)
    assert to_one < 1e-12
    assert between == 0


def test_two_processes_equal_one_with_accumulated_gradients(pool):
    to_one, between = compare(pool, recipe(VAE, **VAE_ARGUMENTS), accumulate_grad_batches=2)
    assert to_one < 1e-12
    assert between == 0


def test_options_that_the_equality_covers_do_change_training(pool):
    plain, *others = (recipe(GAN, **MLP, **more) for more in ({}, {"n_critic": 2}, {"clip_norm": 0.1}, {"decay_images": 300}))
    (reference,) = pool(weights_after, plain, IMAGES, FLOAT64)
    for other in others:
        (weights,) = pool(weights_after, other, IMAGES, FLOAT64)
        assert largest_difference(reference, weights) > 1e-4


def test_the_comparison_sees_gradients_that_are_not_averaged(pool):
    to_one, between = compare(pool, recipe(PlainBackward, **MLP))
    assert to_one > 1e-4
    assert between > 1e-4


def test_the_comparison_sees_noise_that_is_not_indexed(pool):
    to_one, between = compare(pool, recipe(AmbientGAN, **MLP))
    assert to_one > 1e-4
    assert between == 0


def test_ranks_hold_the_same_weights_with_step_noise(pool):
    for model, arguments in ((GAN, MLP), (VAE, VAE_ARGUMENTS)):
        first, second = pool(weights_after, Recipe(model, arguments), IMAGES, {}, world_size=2)
        assert largest_difference(first, second) == 0


class Contents(Scalar):
    """Notes the images of every batch."""

    def record(self, batch, noise):
        return [image.numpy().tobytes() for image in batch[0]]


def contents(rank, world_size):
    return train(Recipe(Contents), world_size, 4 * 16).model.records


def test_every_epoch_has_its_own_order_and_ranks_share_no_image(pool):
    """Two epochs of two batches of 16 from 40 images."""
    (alone,) = pool(contents)
    epochs = [alone[0] + alone[1], alone[2] + alone[3]]
    assert [len({*epoch}) for epoch in epochs] == [32, 32]
    assert {*epochs[0]} != {*epochs[1]}, "each drops other images"
    first, second = pool(contents, world_size=2)
    assert [one + two for one, two in zip(first, second, strict=True)] == alone


# Buffers.


def buffers(model):
    """Every floating-point buffer of a model."""
    return {name: buffer.clone() for name, buffer in model.named_buffers() if buffer.is_floating_point()}


def train_dcgan(rank, world_size, folder, middle):
    """Buffers after every batch, before and after what the callbacks ``middle`` do."""
    before, after = Each(buffers), Each(buffers)
    model = Recipe(DCGAN, {"width": 4, "latent_dim": 4})
    watched = [EMA(64), before, *middle, after]
    outcome = train(model, world_size, 3 * 64, watched, Digits(batch_size=64, num_bits=8), default_root_dir=folder)
    return before.seen, after.seen, folder_scores(outcome)


def folder_scores(outcome: Outcome):
    return [callback.best for callback in outcome.callbacks if isinstance(callback, GenerativeMetrics)]


def test_buffers_drift_apart_but_are_equal_in_checkpoints(pool, tmp_path):
    (tmp_path / "checkpoints").mkdir()
    (before, after, _), (before_1, after_1, _) = pool(train_dcgan, str(tmp_path), [Checkpoints(64)], world_size=2)
    for step in range(3):
        assert largest_difference(before[step], before_1[step]) > 1e-4
        assert any(largest_difference({name: before[step][name]}, {name: before_1[step][name]}) for name in before[step] if "ema" in name)
        assert largest_difference(after[step], after_1[step]) == 0
        assert largest_difference(after[step], before[step]) == 0, "rank 0's are the ones that are kept"
    saved = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    assert largest_difference(after[-1], {name: saved[name] for name in after[-1]}) == 0


def test_buffers_stay_apart_without_a_checkpoint(pool, tmp_path):
    (_, after, _), (_, after_1, _) = pool(train_dcgan, str(tmp_path), [], world_size=2)
    assert largest_difference(after[-1], after_1[-1]) > 1e-3


def best_score(rank, world_size, path):
    from lightning_gen.checkpoint import load_model

    plan = Plan("validation", 128, seed=1, scoring=Scoring(debiased=True))
    return evaluate(load_model(path), Digits(batch_size=64, num_bits=8), plan).scores[0].value


def test_buffers_are_equal_before_evaluation(pool, tmp_path):
    """The score during training on two processes is that of the checkpoint on one, although a rank's own buffers were others."""
    (tmp_path / "checkpoints").mkdir()
    evaluation = GenerativeMetrics(64, num_samples=128)
    (before, _, (best,)), (before_1, _, (best_1,)) = pool(train_dcgan, str(tmp_path), [evaluation], world_size=2)
    assert largest_difference(before[0], before_1[0]) > 1e-4
    assert best == best_1
    assert pool(best_score, str(tmp_path / "checkpoints" / "best.ckpt")) == [best]


EVERY_METRIC = ("fid", "is", "kid", "prdc", "fd_infinity")


class AtTheEnd(GenerativeMetrics):
    """Scores the checkpoint of the last batch by the full protocol, and keeps every number."""

    def evaluate(self, trainer, model, kind):
        evaluation = super().evaluate(trainer, model, kind)
        self.best = {score.name: score.value for score in evaluation.scores}
        return evaluation

    def _keep_best(self, trainer, model, evaluation):
        return None


def every_score(rank, world_size, path):
    from lightning_gen.checkpoint import load_model

    plan = Plan("validation", 300, seed=1, scoring=Scoring(EVERY_METRIC, floor=False))
    found = evaluate(load_model(path), Digits(batch_size=64, num_bits=8), plan).scores
    return {score.name: score.value for score in found}


def test_every_full_score_during_training_on_two_processes_is_that_of_the_checkpoint_on_one(pool, tmp_path):
    (tmp_path / "checkpoints").mkdir()
    callbacks = [AtTheEnd(64, checkpoint_samples=300, metrics=[*EVERY_METRIC]), Checkpoints(64)]
    (_, _, (found,)), (_, _, (found_1,)) = pool(train_dcgan, str(tmp_path), callbacks, world_size=2)
    assert len(found) == 8
    assert found == found_1
    assert pool(every_score, str(tmp_path / "checkpoints" / "last.ckpt")) == [found]


# What is counted.


def counts(rank, world_size, batch_size, images, every, folder):
    """After every batch: images and batches seen, whether an interval was crossed; and the run's end."""
    checkpoints = Checkpoints(every)
    look = Each(lambda model: (model.images_seen, model.batches_seen, checkpoints.due(model)))
    evaluation = GenerativeMetrics(every, num_samples=4, checkpoint_samples=0)
    recipe = Recipe(GAN, MLP)
    data = Digits(batch_size=batch_size, num_bits=8)
    outcome = train(recipe, world_size, images, [look, evaluation, checkpoints], data, default_root_dir=folder)
    return look.seen, outcome.trainer.global_step, outcome.model.images_seen


def test_images_are_counted_over_all_processes_and_intervals_are_in_images(pool, tmp_path):
    (tmp_path / "checkpoints").mkdir()
    seen = [(200, 1, False), (400, 2, True), (600, 3, False), (800, 4, True), (1000, 5, True)]
    for world_size in (1, 2):
        for result in pool(counts, 200, 950, 333, str(tmp_path), world_size=world_size):
            assert result == (seen, 10, 1000), "the budget ends at the first whole global batch; Lightning counts both optimisers' steps"


def agreed_folder(rank, world_size, folder):
    """Every process proposes a folder of its own."""
    data, proposal = Small(), pathlib.Path(folder) / f"proposal-{rank}"
    model = Recipe(GAN, MLP).build(data)
    callback = RunFolder(proposal, {"seed": 0}, {}, wandb="off")
    trainer = new_trainer(model, world_size, [callback], max_epochs=1)
    trainer.fit(model, datamodule=data)
    return str(callback.folder), trainer.default_root_dir


def test_all_processes_agree_on_the_run_folder(pool, tmp_path):
    chosen = str(tmp_path / "proposal-0")
    assert pool(agreed_folder, str(tmp_path), world_size=2) == [(chosen, chosen)] * 2
    assert [path.name for path in tmp_path.iterdir()] == ["proposal-0"]
