"""Anomaly scores: each is what its paper says, on a model whose likelihood is known."""

import math

import numpy as np
import pytest
import torch
from latent_models import lost

from lightning_gen.analysis.anomaly import BASELINES, anomaly, compare, complexity, compressed_bytes, pixel_scores, require_same_kind
from lightning_gen.analysis.roc import auroc
from lightning_gen.data import Digits, Factors, ToyDensity
from lightning_gen.errors import UserError
from lightning_gen.models import DCGAN, VAE, Autoencoder
from lightning_gen.models.base import GenerativeModel


class Brightness(GenerativeModel):
    """log p(x) is minus the brightness of x: darker is likelier."""

    def log_prob(self, images, *, labels=None, noise, num_samples=1):
        return -images.flatten(1).double().sum(1)

    def likelihood_kind(self, num_samples=1):
        return "exact"


class Mirror(GenerativeModel):
    """Reconstructs the mirrored image."""

    def reconstruct(self, images, *, labels=None):
        return images.flip(-1)


@pytest.fixture
def normal():
    return Digits(batch_size=8, only_classes=[0, 1, 2, 3, 4, 5, 6, 7, 9])


@pytest.fixture
def other():
    return Digits(batch_size=8, only_classes=[8])


def images_of(data, split):
    return data.batch(split, range(data.split_size(split)))[0]


def brightness(data, split):
    return images_of(data, split).flatten(1).double().sum(1).numpy()


def test_likelihood_and_typicality_are_those_of_the_model(normal, other):
    found = anomaly(Brightness([1, 8, 8]), normal, other, num_images=10_000)
    ours, theirs = brightness(normal, "test"), brightness(other, "test")
    entropy = brightness(normal, "train")  # H over as many training images as normal ones: all
    assert found["negative log-likelihood"]["auroc"] == pytest.approx(auroc(ours, theirs), abs=1e-12)
    assert len(entropy) > len(ours)
    expected = auroc(abs(ours - entropy.mean()), abs(theirs - entropy.mean()))
    assert found["typicality"]["auroc"] == pytest.approx(expected, abs=0.05)


def test_typicality_finds_images_that_are_too_likely():
    digits = Digits(batch_size=8)
    dark = Digits(batch_size=8)
    dark._arrays = {split: (dark.arrays(split)[0] // 64, dark.arrays(split)[1]) for split in ("train", "test")}
    found = anomaly(Brightness([1, 8, 8]), digits, dark)
    assert found["negative log-likelihood"]["auroc"] < 0.01  # the caveat: all darker images are likelier
    assert found["typicality"]["auroc"] > 0.99


def test_the_complexity_correction_is_the_length_of_the_file_in_nats(normal, other):
    part = normal, "test", np.arange(5)
    expected = [8 * math.log(2) * compressed_bytes(image) for image in images_of(normal, "test")[:5]]
    assert complexity(part).tolist() == expected
    found = anomaly(Brightness([1, 8, 8]), normal, other)
    lengths = [complexity((data, "test", np.arange(data.split_size("test")))) for data in (normal, other)]
    scores = brightness(normal, "test") - lengths[0], brightness(other, "test") - lengths[1]
    assert found["complexity-corrected"]["auroc"] == pytest.approx(auroc(*scores), abs=1e-12)


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_a_more_complex_image_takes_more_bytes(channels):
    random = np.random.default_rng(0)
    noise = random.integers(256, size=(channels, 32, 32)).astype(np.uint8)
    lengths = []
    for rows in (0, 8, 16, 32):  # so many rows of noise on black
        image = noise.copy()
        image[:, rows:] = 0
        lengths.append(compressed_bytes(torch.from_numpy(image)))
    assert lengths == sorted(set(lengths))
    assert lengths[-1] > noise.size  # noise cannot be compressed


def test_the_reconstruction_error_is_the_mean_squared_one(normal, other):
    found = anomaly(Mirror([1, 8, 8]), normal, other)
    assert [name for name in found if name not in BASELINES] == ["reconstruction error"]

    def error(data):
        levels = images_of(data, "test").double()
        return (levels - levels.flip(-1)).square().flatten(1).mean(1).numpy()

    assert found["reconstruction error"]["auroc"] == pytest.approx(auroc(error(normal), error(other)), abs=1e-12)


def test_the_baselines_are_distances_by_brute_force(normal, other):
    parts = [(data, split, np.arange(data.split_size(split))) for data, split in ((normal, "test"), (other, "test"), (normal, "train"))]
    scores = pixel_scores(*parts)
    ours, theirs, known = (images_of(data, split).flatten(1).double() / 255 for data, split, _ in parts)
    for place, queries in enumerate((ours, theirs)):
        assert np.allclose(scores[BASELINES[0]][place], torch.cdist(queries, known).min(1).values, atol=1e-5)
        assert np.allclose(scores[BASELINES[1]][place], (queries - known.mean(0)).norm(dim=1), atol=1e-5)


def test_the_lead_is_over_the_better_baseline():
    low, high = np.arange(10.0), np.arange(10.0) + 5
    scores = {"model": (low, high + 10), BASELINES[0]: (low, low), BASELINES[1]: (low, high)}
    found = compare(scores)
    assert found["model"]["lead"] == pytest.approx(1 - auroc(low, high))
    assert found["model"]["lead_over"] == BASELINES[1]
    assert "lead" not in found[BASELINES[0]]


def test_scores_are_repeatable_and_a_smaller_number_of_images_is_drawn_by_the_seed(normal, other):
    model = VAE([1, 8, 8], num_bits=4, latent_dim=2, likelihood="DiscretizedLogistic")
    first, again, third = (anomaly(model, normal, other, num_images=20, likelihood_samples=2, seed=seed) for seed in (0, 0, 1))
    assert first == again != third
    assert set(first) == {"negative log-likelihood", "typicality", "complexity-corrected", "reconstruction error", *BASELINES}


def test_other_images_must_be_of_the_same_kind():
    for against, words in (
        (Factors(batch_size=8), r"data_shape \(1, 8, 8\)"),
        (Digits(batch_size=8, num_bits=3), "num_bits 4"),
        (ToyDensity("two_moons", batch_size=8), "data_shape"),
    ):
        with pytest.raises(UserError, match=words):
            require_same_kind(Digits(batch_size=8), against)
    with pytest.raises(UserError, match="binarization static"):
        require_same_kind(Digits(batch_size=8, binarization="static"), Digits(batch_size=8, binarization="threshold"))


@pytest.mark.parametrize(
    ("model", "words"),
    [(DCGAN([1, 32, 32]), "neither a likelihood nor"), (VAE([1, 8, 8], num_bits=4, num_classes=10, conditional=True), "no labels")],
)
def test_a_model_that_cannot_judge_is_refused(model, words, normal, other):
    with pytest.raises(UserError, match=words):
        anomaly(model, normal, other)


def test_nan_is_no_score(normal, other):
    scores = {name: (np.arange(4.0), np.arange(5.0)) for name in BASELINES}
    with pytest.raises(UserError, match=r"some values of the typicality are NaN or infinite; expected a model that has been trained"):
        compare(scores | {"typicality": (np.full(4, np.nan), np.arange(5.0))})
    for cls in (VAE, Autoencoder):  # whose reconstructions are whole numbers, hence never NaN
        with pytest.raises(UserError, match=f"{cls.__name__}: some of its weights are NaN"):
            anomaly(lost(cls([1, 8, 8], num_bits=4, latent_dim=2)), normal, other, num_images=20, likelihood_samples=2)
