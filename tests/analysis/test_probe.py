"""Probes find what is in the codes, on constructed encoders whose accuracy is known, and the baselines are what they say."""

import numpy as np
import pytest
import torch
from latent_models import lost

from lightning_gen.analysis.probe import (
    DRAWS,
    PER_CLASS,
    LabelledCodes,
    accuracies,
    balanced,
    few_label_accuracies,
    linear_accuracy,
    nearest_accuracy,
    probe,
)
from lightning_gen.analysis.representations import choose_images, codes_of, starting_point, untrained
from lightning_gen.data import Digits, ToyDensity
from lightning_gen.errors import UserError
from lightning_gen.models import DCGAN, VAE


@pytest.fixture
def digits():
    return Digits(batch_size=8)


@pytest.fixture
def vae():
    return VAE([1, 8, 8], num_bits=4, num_classes=10, latent_dim=3, encoder={"class_path": "MLPEncoder", "init_args": {"hidden": [16]}})


def gaussians(count, distance, seed):
    """Two classes whose codes are normal with means ``distance`` apart in the first of two dimensions."""
    random = np.random.default_rng(seed)
    labels = random.integers(2, size=count)
    codes = random.standard_normal((count, 2)) + distance * np.stack([labels, 0 * labels], axis=1)
    return codes.astype(np.float32), labels


def test_the_nearest_neighbour_is_the_nearest_by_brute_force():
    (train, train_labels), (test, test_labels) = gaussians(150, 1, 0), gaussians(90, 1, 1)
    nearest = [np.argmin(((train.astype(float) - row) ** 2).sum(1)) for row in test.astype(float)]
    expected = np.mean(train_labels[nearest] == test_labels)
    assert nearest_accuracy(LabelledCodes(train, train_labels, test, test_labels)) == expected


def test_a_linear_probe_reaches_the_best_accuracy_that_there_is():
    # Of two normals at distance d the best classifier is right with probability Phi(d / 2).
    test, labels = gaussians(20_000, 2, 1)
    found, converged = linear_accuracy(LabelledCodes(*gaussians(20_000, 2, 0), test, labels))
    best = 0.8413447
    assert converged
    assert found == pytest.approx(best, abs=5 * np.sqrt(best * (1 - best) / 20_000))


def test_a_linear_probe_does_not_care_about_the_scale_of_a_dimension():
    (train, train_labels), (test, test_labels) = gaussians(300, 1, 0), gaussians(300, 1, 1)
    scale = np.array([1e3, 1e-3], np.float32)
    plain, scaled = (linear_accuracy(LabelledCodes(train * s, train_labels, test * s, test_labels))[0] for s in (1, scale))
    assert plain == pytest.approx(scaled, abs=0.01)


def test_codes_that_are_the_labels_and_codes_that_are_noise():
    random = np.random.default_rng(0)
    labels = random.integers(4, size=400), random.integers(4, size=2000)
    oracle = LabelledCodes(np.eye(4, dtype=np.float32)[labels[0]], labels[0], np.eye(4, dtype=np.float32)[labels[1]], labels[1])
    noise = LabelledCodes(*(part for y in labels for part in (random.standard_normal((len(y), 4)).astype(np.float32), y)))
    known, guessed = accuracies(oracle), accuracies(noise)
    bound = 5 * np.sqrt(0.25 * 0.75 / 2000)
    for name in ("nearest", "linear", "few"):
        assert known[name] == 1
        assert guessed[name] == pytest.approx(0.25, abs=bound)


def test_few_labels_are_equally_many_of_each_class_and_drawn_anew():
    labels = np.random.default_rng(0).integers(3, size=500)
    rows = balanced(labels, 31, np.random.default_rng(1))
    assert len(set(rows)) == 31
    assert np.bincount(labels[rows]).tolist() == [11, 10, 10]
    train, test = gaussians(400, 1.5, 0), gaussians(400, 1.5, 1)
    found = few_label_accuracies(LabelledCodes(*train, *test))
    assert len(found) == DRAWS
    assert len(set(found)) > 1
    assert found == few_label_accuracies(LabelledCodes(*train, *test))
    assert found != few_label_accuracies(LabelledCodes(*train, *test), seed=1)


def test_too_few_images_of_a_class_are_refused_by_its_number():
    with pytest.raises(UserError, match="class 2 has 4 training images; expected at least 10"):
        balanced(np.repeat([0, 1, 2], [50, 50, 4]), 3 * PER_CLASS, np.random.default_rng(0))
    with pytest.raises(UserError, match="expected at least one for each of the 3 classes, got 2"):
        balanced(np.repeat([0, 1, 2], 5), 2, np.random.default_rng(0))


def test_the_report_is_of_the_encoder_the_untrained_network_and_the_pixels(vae, digits):
    found = probe(vae, digits, num_images=400)
    assert [*found] == ["encoder", "untrained encoder", "raw pixels"]
    assert [row["features"] for row in found.values()] == [3, 3, 64]
    assert found["raw pixels"]["nearest"] > 0.9
    assert found == probe(vae, digits, num_images=400)
    # A model with the baseline's own weights is the baseline.
    same = probe(untrained(vae, digits, 0), digits, num_images=400)
    assert same["encoder"] == same["untrained encoder"] == found["untrained encoder"]
    assert same["encoder"] != found["encoder"]


def test_codes_do_not_depend_on_what_is_encoded_with_them(vae, digits):
    everything = codes_of(vae, digits, "test", np.arange(400))
    assert np.allclose(codes_of(vae, digits, "test", np.array([5, 399])), everything[[5, 399]], atol=1e-6)
    assert np.allclose(vae.encode(digits.batch("test", range(400))[0]).detach().numpy(), everything, atol=1e-6)


def test_draws_of_codes_are_of_the_posterior_and_repeatable(vae, digits):
    draws = np.stack([codes_of(vae, digits, split, np.arange(300), draws=True) for split in ("validation", "test")])
    posterior = vae.posterior(digits.batch("test", range(300))[0])
    standardized = (draws[1] - posterior.mean.detach().numpy()) / posterior.log_scale.exp().detach().numpy()
    assert abs(standardized.mean()) < 5 / np.sqrt(900)
    assert standardized.var() == pytest.approx(1, abs=5 * np.sqrt(2 / 900))
    assert np.array_equal(codes_of(vae, digits, "test", np.arange(300), draws=True), draws[1])


def test_the_untrained_network_is_of_its_seed_alone(vae, digits):
    before = torch.random.get_rng_state()
    first, second, other = untrained(vae, digits, 0), untrained(vae, digits, 0), untrained(vae, digits, 1)
    assert torch.equal(torch.random.get_rng_state(), before)
    weights = [network.encoder.layers[0].weight for network in (first, second, other, vae)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    assert first.hyperparameters == vae.hyperparameters


def test_a_starting_point_takes_the_weights_that_were_asked_for(vae):
    vae.create_ema()
    with torch.no_grad():
        vae.encoder.layers[0].weight.add_(1)
    averaged, live = starting_point(vae, "ema"), starting_point(vae, "live")
    assert torch.equal(averaged.encoder.layers[0].weight, vae.ema["encoder"].layers[0].weight)
    assert torch.equal(live.encoder.layers[0].weight, vae.encoder.layers[0].weight)
    assert averaged.encoder.layers[0].weight.requires_grad
    assert averaged.ema is None


def test_a_choice_of_images_is_of_its_seed_and_has_no_image_twice(digits):
    first, again, other = (choose_images(digits, "train", 100, seed) for seed in (0, 0, 1))
    assert len(np.unique(first)) == 100
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert choose_images(digits, "test", 10_000, 0).tolist() == [*range(400)]


@pytest.mark.parametrize(
    ("model", "data", "words"),
    [
        (DCGAN([1, 32, 32]), Digits(batch_size=8), "DCGAN has no encoder"),
        (VAE([1, 8, 8], num_bits=4, num_classes=10, conditional=True), Digits(batch_size=8), "leak"),
        (VAE([2], likelihood="Gaussian"), ToyDensity("two_moons", batch_size=8), "two_moons has no class labels"),
    ],
)
def test_what_cannot_be_probed_is_refused(model, data, words):
    with pytest.raises(UserError, match=words):
        probe(model, data)


def test_codes_that_are_nan_are_refused(vae, digits):
    with pytest.raises(UserError, match="VAE: some of its codes are NaN or infinite; expected a model that has been trained"):
        probe(lost(vae), digits, num_images=300)


def test_too_few_classes_or_images_are_refused_by_the_option_that_is_to_blame(vae, digits):
    with pytest.raises(UserError, match="probe: all training images are of class 3; expected at least 2 classes"):
        probe(vae, Digits(batch_size=8, only_classes=[3]))
    for count, words in ((1, "of 1 training images 1 of class"), (60, r"of 60 training images \d of class")):
        with pytest.raises(UserError, match=f"num_images: expected 10 of each of at least 2 classes, but {words}"):
            probe(vae, digits, num_images=count)
