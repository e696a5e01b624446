"""The score of reconstructions: by hand, on any number of processes, and alone on the leaderboard where there is nothing else."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from distributed_pool import shared_pool

from lightning_gen.data import Digits, ToyDensity
from lightning_gen.evaluation import Plan, Scoring, evaluate, is_measurable, require_something_to_measure, score_directions
from lightning_gen.leaderboard.record import Checkpoint
from lightning_gen.leaderboard.table import leaderboard
from lightning_gen.models import GAN, VAE, Autoencoder, DenoisingAutoencoder
from lightning_gen.reporting import make_record

MSE = "reconstruction MSE"
CHECKPOINT = Checkpoint(path="checkpoints/last.ckpt", sha256="", kind="last")


def digits(**options):
    return Digits(batch_size=8, **options)


def autoencoder(**options):
    torch.manual_seed(3)
    return Autoencoder([1, 8, 8], latent_dim=3, num_bits=4, **options)


def only(scores):
    (score,) = scores
    return score


def test_the_score_is_the_mean_squared_error_per_pixel_of_the_unit_range():
    model, data = autoencoder(), digits()
    score = only(evaluate(model, data, Plan("test")).scores)
    images, _ = data.batch("test", range(data.split_size("test")))
    with model.inference():
        rebuilt = model.reconstruct(images)
    errors = ((rebuilt.numpy().astype(float) - images.numpy().astype(float)) / 255) ** 2
    per_image = errors.reshape(len(images), -1).mean(1)
    assert (score.name, score.better, score.uncertainty_kind) == (MSE, "lower", "standard error over images")
    assert score.value == pytest.approx(per_image.mean(), rel=1e-12)
    assert score.uncertainty == pytest.approx(per_image.std(ddof=1) / math.sqrt(len(images)), rel=1e-12)


def test_vectors_are_taken_as_they_are():
    data, model = ToyDensity("two_moons", batch_size=8), Autoencoder([2], latent_dim=1)
    score = only(evaluate(model, data, Plan("validation", likelihood_images=100)).scores)
    x, _ = data.batch("validation", range(100))
    with model.inference():
        assert score.value == pytest.approx(np.square((model.reconstruct(x) - x).numpy().astype(float)).mean(), rel=1e-6)


def test_the_protocol_is_that_of_the_data_with_the_number_of_images():
    plans = Plan("test"), Plan("test", likelihood_images=70, seed=5), Plan("test", 0, likelihood_images=70, scoring=Scoring(("kid",)))
    whole, part, other = (only(evaluate(autoencoder(), digits(), plan).scores).protocol for plan in plans)
    assert whole == digits().protocol("test") | {"reconstruction_images": digits().split_size("test")}
    assert part == whole | {"reconstruction_images": 70}
    assert other == part, "samples are another question"


def test_a_reconstruction_given_the_labels_answers_another_question():
    options = {"num_classes": 10, "conditional": True}
    given, without = (only(evaluate(autoencoder(**kind), digits(), Plan("test", likelihood_images=10)).scores) for kind in (options, {}))
    assert given.protocol == without.protocol | {"labels": "given"}


def test_every_model_that_reconstructs_has_the_score_behind_its_others():
    vae = VAE([1, 8, 8], num_bits=4, likelihood="DiscretizedLogistic")
    names = [score.name for score in evaluate(vae, digits(), Plan(num_samples=4, likelihood_images=64)).scores]
    assert names == ["FD(digits-cnn)", "CS(digits-cnn)", "diversity(digits-cnn)", "bits/dim", MSE]


def scores(rank, world_size, count):
    evaluation = evaluate(autoencoder(), digits(), Plan("test", likelihood_images=count))
    return [dataclasses.asdict(score) for score in evaluation.scores]


@pytest.mark.parametrize("count", [1, 70, 400])
def test_one_to_three_processes_give_the_same_bits(count):
    (alone,) = shared_pool()(scores, count, world_size=1)
    for world_size in (2, 3):
        assert shared_pool()(scores, count, world_size=world_size) == [alone] * world_size


# What ranks.


@pytest.mark.parametrize(
    ("model", "data", "ranks"),
    [
        (autoencoder(), digits(), MSE),
        (DenoisingAutoencoder([1, 8, 8], latent_dim=2, num_bits=4, chain_steps=1), digits(), "FD(digits-cnn)"),
        (DenoisingAutoencoder([2], latent_dim=2, chain_steps=1), ToyDensity("two_moons", batch_size=8), MSE),
        (VAE([2], latent_dim=2), ToyDensity("two_moons", batch_size=8), "nats"),
    ],
    ids=["nothing else", "samples", "samples that no network scores", "likelihood"],
)
def test_reconstructions_rank_where_there_is_nothing_else(model, data, ranks):
    evaluation = evaluate(model, data, Plan(num_samples=4, likelihood_images=10))
    assert evaluation.headline == (ranks, "lower")
    assert evaluation.value(ranks) is not None
    assert MSE in score_directions(data, Scoring())


def test_an_autoencoder_is_measurable_without_samples():
    data = ToyDensity("two_moons", batch_size=8)
    assert is_measurable(Autoencoder([2], latent_dim=1), data)
    assert not is_measurable(GAN([2], latent_dim=1), data)
    require_something_to_measure(autoencoder(), 0, "final.num_samples")


def test_an_autoencoder_stands_beside_a_vae_on_the_leaderboard(tmp_path):
    data, plan = digits(), Plan("test", 4, likelihood_images=64)
    records = []
    for model in (autoencoder(), VAE([1, 8, 8], num_bits=4, likelihood="DiscretizedLogistic")):
        run = tmp_path / type(model).__name__ / "run"
        checkpoint = dataclasses.replace(CHECKPOINT, sha256=type(model).__name__)
        records.append(make_record(model, data, plan, evaluate(model, data, plan), run, checkpoint))
    tables = {table.ranked_by.name: [row.record.model.name for _, row in table.rows] for table in leaderboard(records)}
    assert {*tables[MSE]} == {"Autoencoder", "VAE"}
    assert tables["FD(digits-cnn)"] == ["VAE"]
