"""Scoring during training: it changes no bit of the training, is not biased by few samples, and chooses the best checkpoint."""

import numpy as np
import pytest
import torch
from pytorch_lightning.loggers import Logger

from lightning_gen.callbacks.budget import Budget
from lightning_gen.callbacks.checkpoints import Checkpoints
from lightning_gen.callbacks.ema import EMA
from lightning_gen.callbacks.generative_metrics import VALIDATION_SEED, GenerativeMetrics
from lightning_gen.checkpoint import load_model
from lightning_gen.data import Digits, PhotoPatches, ToyDensity
from lightning_gen.errors import UserError
from lightning_gen.evaluation import Plan, Scoring, evaluate
from lightning_gen.models import DCGAN, GAN, VAE

FD = "FD(digits-cnn)"


class Rows(Logger):
    """Keeps the scores that it is given."""

    name = version = "rows"

    def __init__(self):
        super().__init__()
        self.rows = []

    def log_hyperparams(self, *_, **__):
        pass

    def log_metrics(self, metrics, step=None):
        if "progress/images" in metrics:
            self.rows.append(metrics)


@pytest.fixture
def train(fit, tmp_path):
    """``train(model, *callbacks)``: some batches of digits with averages; the rows that were logged."""

    def run(model, *callbacks, data=None, batches=4, precision="32-true"):
        (tmp_path / "checkpoints").mkdir(exist_ok=True)
        torch.manual_seed(7)
        np.random.seed(7)
        logged = Rows()
        data = data or Digits(batch_size=64, num_bits=8)
        options = {"default_root_dir": tmp_path, "precision": precision, "logger": logged}
        fit(model, data, batches, callbacks=[EMA(100), *callbacks], **options)
        return logged.rows

    return run


def vae():
    torch.manual_seed(0)
    return VAE([1, 8, 8], latent_dim=4, likelihood="DiscretizedLogistic", num_bits=8)


def dcgan():
    torch.manual_seed(0)
    return DCGAN([1, 8, 8], latent_dim=4, width=4, num_bits=8)


def all_of(model):
    """Weights, buffers, averages and the random numbers that would come next."""
    return {**model.state_dict(), "next": torch.rand(3), "numpy": torch.from_numpy(np.random.rand(3))}


@pytest.mark.parametrize("build", [vae, dcgan])
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_a_run_with_the_callback_trains_to_the_same_bits_as_one_without(train, build, precision):
    """DCGAN has BatchNorm, whose statistics and mode an evaluation must not touch."""
    without, with_it = build(), build()
    train(without, precision=precision)
    expected = all_of(without)
    metrics = GenerativeMetrics(64, num_samples=70, likelihood_images=70, checkpoint_samples=80)
    train(with_it, metrics, Checkpoints(128), precision=precision)
    found = all_of(with_it)
    assert metrics.best is not None
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert torch.equal(found[name], value), name


def test_small_scores_between_checkpoints_and_full_ones_at_them(train):
    metrics = GenerativeMetrics(64, num_samples=70, likelihood_images=70, checkpoint_samples=200)
    rows = train(vae(), metrics, Checkpoints(128))
    kinds = [{name.partition("/")[0] for name in row} - {"progress"} for row in rows]
    assert [row["progress/images"] for row in rows] == [64, 128, 192, 256]
    assert kinds == [{"eval"}, {"full"}, {"eval"}, {"full"}]


def test_full_scores_alone_choose_the_best_and_are_those_of_the_checkpoint(train, tmp_path):
    metrics = GenerativeMetrics(64, num_samples=70, likelihood_images=70, checkpoint_samples=200)
    rows = train(vae(), metrics, Checkpoints(128))
    full = {row["progress/images"]: row[f"full/{FD}"] for row in rows if f"full/{FD}" in row}
    assert metrics.best == min(full.values())
    assert full[metrics.best_images] == metrics.best
    plan = Plan("validation", 200, seed=VALIDATION_SEED, scoring=Scoring(floor=False))
    best = evaluate(load_model(tmp_path / "checkpoints" / "best.ckpt"), Digits(batch_size=64, num_bits=8), plan)
    assert best.value(FD) == metrics.best


def test_the_full_protocol_has_a_number_of_likelihood_images_of_its_own(train, tmp_path):
    metrics = GenerativeMetrics(128, num_samples=70, likelihood_images=30, checkpoint_samples=70, checkpoint_likelihood_images=50)
    (row,) = train(vae(), metrics, Checkpoints(128), batches=2)
    model, data = load_model(tmp_path / "checkpoints" / "last.ckpt"), Digits(batch_size=64, num_bits=8)
    bits = {
        count: evaluate(model, data, Plan("validation", 0, likelihood_images=count, seed=VALIDATION_SEED)).value("bits/dim")
        for count in (30, 50, None)
    }
    assert row["full/bits/dim"] == bits[50]
    assert len({*bits.values()}) == 3


def test_without_regular_checkpoints_the_small_scores_choose(train, tmp_path):
    metrics = GenerativeMetrics(64, num_samples=70, likelihood_images=70)
    rows = train(vae(), metrics, Checkpoints(0))
    assert metrics.best == min(row[f"eval/{FD}"] for row in rows)
    plan = Plan("validation", 70, seed=VALIDATION_SEED, scoring=Scoring(floor=False, debiased=True))
    best = evaluate(load_model(tmp_path / "checkpoints" / "best.ckpt"), Digits(batch_size=64, num_bits=8), plan)
    assert best.value(FD) == metrics.best


def test_a_checkpoint_that_the_budget_never_reaches_does_not_choose(train):
    metrics = GenerativeMetrics(64, num_samples=70, likelihood_images=70)
    train(vae(), Budget(256), metrics, Checkpoints(10_000))
    assert metrics.best is not None


def test_the_names_of_metrics_are_the_evaluations(train):
    rows = train(vae(), GenerativeMetrics(128, num_samples=70, metrics=["prdc"], likelihood_images=70), Checkpoints(0))
    kinds = ("precision", "recall", "density", "coverage")
    assert {name for name in rows[0] if "(" in name} == {f"eval/{kind}(digits-cnn)" for kind in kinds}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_samples": 3}, "num_samples: a debiased distance needs at least 4"),
        ({"checkpoint_samples": 1}, "checkpoint_samples: expected null, 0 or at least 2, got 1"),
        ({"checkpoint_samples": -5}, "checkpoint_samples: expected null, 0 or at least 2, got -5"),
        ({"metrics": ["fd", "kidd"]}, r"metrics: unknown metric 'kidd'; did you mean 'kid'\?"),
    ],
)
def test_what_cannot_be_scored_is_refused_before_training(options, message):
    with pytest.raises(UserError, match=message):
        GenerativeMetrics(64, **options)


def test_that_no_checkpoint_can_be_called_best_is_said_once_and_with_the_reason(train, caplog):
    toy = ToyDensity("two_moons", batch_size=64)
    train(GAN([2], latent_dim=2), GenerativeMetrics(64, num_samples=8), data=toy, batches=2)
    assert caplog.text.count("evaluation: nothing can be scored, so there is no best checkpoint") == 1
    train(vae(), GenerativeMetrics(64, num_samples=0, likelihood_images=64))
    assert caplog.text.count("cannot be computed for this model and evaluation.num_samples, so there is no best checkpoint") == 1


def test_vectors_and_natural_images_are_scored_too(train, monkeypatch):
    monkeypatch.delenv("LIGHTNING_GEN_INCEPTION_WEIGHTS", raising=False)
    toy = ToyDensity("two_moons", batch_size=64)
    rows = train(VAE([2], latent_dim=2), GenerativeMetrics(64, likelihood_images=64), data=toy, batches=1)
    assert set(rows[0]) == {"eval/nats", "eval/reconstruction MSE", "progress/images"}
    photos = PhotoPatches(batch_size=8)
    model = DCGAN([3, 32, 32], latent_dim=4, width=4)
    rows = train(model, GenerativeMetrics(8, num_samples=8), data=photos, batches=1)
    held_out = {"held_out/accuracy_real", "held_out/accuracy_fake", "held_out/discriminator_loss"}
    names = {name.partition("(")[0] for name in rows[0]}
    assert names == {"eval/FD", "eval/CS", "eval/diversity", "progress/images"} | held_out
