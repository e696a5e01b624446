"""MIG and DCI: 1 for codes that are the factors, 0 for codes that know nothing, and in between for rotated ones."""

import itertools

import numpy as np
import pytest
import torch
from latent_models import lost

from lightning_gen.analysis.disentanglement import (
    completeness_of,
    dci,
    discretize,
    disentanglement,
    disentanglement_of,
    mutual_information,
    mutual_information_gap,
)
from lightning_gen.data import Digits, Factors
from lightning_gen.data.factors import all_combinations
from lightning_gen.distributions.normal import DiagonalNormal
from lightning_gen.errors import UserError
from lightning_gen.models import DCGAN, VAE


@pytest.fixture(scope="module")
def factors():
    """A full grid of three independent factors, shuffled."""
    grid = np.array([*itertools.product(range(4), range(5), range(8))])
    return np.random.default_rng(0).permutation(np.concatenate([grid] * 12))


def rotated(codes, angle):
    """Codes whose first two standardised dimensions are mixed."""
    codes = (codes - codes.mean(0)) / codes.std(0)
    matrix = np.eye(codes.shape[1])
    matrix[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    return codes @ matrix.T


def scores(codes, factors):
    """MIG, disentanglement, completeness and informativeness, learned from one half."""
    half = len(codes) // 2
    found = dci(codes[:half], factors[:half], codes[half:], factors[half:])
    return {"mig": mutual_information_gap(codes, factors)["mig"]} | {
        name: found[name] for name in ("disentanglement", "completeness", "informativeness")
    }


def test_mutual_information_of_a_small_table_by_hand():
    # P(0, 0) = 1/2, P(1, 0) = P(1, 1) = 1/4.
    a, b = np.array([0, 0, 1, 1]), np.array([0, 0, 0, 1])
    expected = 0.5 * np.log(0.5 / (0.5 * 0.75)) + 0.25 * np.log(0.25 / (0.5 * 0.75)) + 0.25 * np.log(0.25 / (0.5 * 0.25))
    assert mutual_information(a, b) == pytest.approx(expected, abs=1e-12)
    assert mutual_information(a, a) == pytest.approx(np.log(2), abs=1e-12)


def test_the_gap_of_a_small_table_by_hand():
    # The first code is the factor; the second only tells whether it is 0: its information is the entropy of that bit.
    factor = np.array([[0], [1], [2], [3]] * 3)
    codes = np.concatenate([factor, factor == 0], axis=1).astype(float)
    bit = -(0.25 * np.log(0.25) + 0.75 * np.log(0.75))
    assert mutual_information_gap(codes, factor)["mig"] == pytest.approx(1 - bit / np.log(4), abs=1e-12)


def test_importances_of_a_small_table_by_hand():
    importance = np.array([[0.5, 0.5], [0.0, 1.0], [0.5, 0.0]])
    # Rows: equal (0, weight 1/2.5), single (1, 1/2.5), single (1, 0.5/2.5).
    assert disentanglement_of(importance) == pytest.approx(1.5 / 2.5, abs=1e-12)
    first = 1 - np.log(2) / np.log(3)
    second = 1 + (1 / 3 * np.log(1 / 3) + 2 / 3 * np.log(2 / 3)) / np.log(3)
    assert completeness_of(importance) == pytest.approx((first + second) / 2, abs=1e-12)


def test_a_code_at_its_maximum_lies_in_the_last_bin_and_a_constant_in_the_first():
    assert discretize(np.array([[0.0, 3.0], [1.0, 3.0], [0.5, 3.0]])).tolist() == [[0, 0], [19, 0], [10, 0]]


def test_oracle_factors_score_one(factors):
    assert scores(factors.astype(float), factors) == pytest.approx(dict.fromkeys(scores(factors.astype(float), factors), 1.0), abs=1e-9)


def test_random_codes_score_nothing(factors):
    found = scores(np.random.default_rng(1).standard_normal(factors.shape), factors)
    assert 0 <= found["mig"] < 0.02
    assert found["disentanglement"] < 0.02
    assert found["completeness"] < 0.02
    assert found["informativeness"] < 1.3 * np.mean([1 / 4, 1 / 5, 1 / 8])


def test_rotated_factors_lie_between(factors):
    found = [scores(rotated(factors.astype(float), angle), factors) for angle in (0.0, 0.3, np.pi / 4)]
    for name in ("mig", "disentanglement", "completeness"):
        straight, tilted, diagonal = (row[name] for row in found)
        assert straight > tilted + 0.05, name
        assert tilted > diagonal + 0.05, name
        assert diagonal > 0.1, name


def test_neither_order_nor_sign_nor_scale_of_the_dimensions_matters(factors):
    codes = rotated(factors.astype(float), 0.3)
    other = codes[:, [2, 0, 1]] * [-1.0, 4.0, 0.5]  # powers of two, so that no bin's edge moves
    first, second = mutual_information_gap(codes, factors)["mig"], mutual_information_gap(other, factors)["mig"]
    assert first == pytest.approx(second, abs=0.02)
    assert mutual_information_gap(codes[:, [2, 0, 1]], factors)["mig"] == first
    ours, theirs = scores(codes, factors), scores(codes[:, [2, 0, 1]], factors)
    assert ours == pytest.approx(theirs, abs=0.02)


def test_codes_that_are_all_alike_score_nothing(factors):
    found = scores(np.ones((len(factors), 3)), factors)
    assert [found[name] for name in ("mig", "disentanglement", "completeness")] == pytest.approx([0, 0, 0], abs=1e-12)


class Oracle(VAE):
    """Encodes a picture of the factors as its factors, by looking it up."""

    def encode(self, images, *, labels=None):
        pictures, factors = all_combinations()
        table = {picture.tobytes(): row for picture, row in zip(pictures, factors, strict=True)}
        return torch.tensor(np.stack([table[image.numpy().tobytes()] for image in images]), dtype=torch.float32)

    def posterior(self, images, labels=None):
        mean = self.encode(images)
        return DiagonalNormal(mean, mean * 0 - 9)


def test_a_model_that_knows_the_factors_scores_one_through_the_whole_path():
    found = disentanglement(Oracle([1, 32, 32], latent_dim=5), Factors(batch_size=64))
    assert found["mig"] > 0.99
    assert (found["disentanglement"], found["completeness"], found["informativeness"]) == (1, 1, 1)


@pytest.mark.parametrize(
    ("model", "data", "words"),
    [
        (VAE([1, 8, 8], num_bits=4, latent_dim=2), Digits(batch_size=8), "factors of variation of digits"),
        (DCGAN([1, 32, 32]), Factors(batch_size=8), "DCGAN has no encoder"),
        (VAE([1, 32, 32], num_classes=3, conditional=True, latent_dim=2), Factors(batch_size=8), "label"),
        (lost(VAE([1, 32, 32], latent_dim=2)), Factors(batch_size=8), "VAE: some of its codes are NaN or infinite"),
        (VAE([1, 32, 32], latent_dim=2), Factors(batch_size=8, only_classes=[0]), "factor 0 of the data has the value 0 everywhere"),
        (VAE([1, 32, 32], latent_dim=1), Factors(batch_size=8), "at least 2 latent dimensions, got 1"),
    ],
)
def test_what_cannot_be_measured_is_refused(model, data, words):
    with pytest.raises(UserError, match=words):
        disentanglement(model, data)
