"""Corruptions: the conditional distribution of x~ given x that each one names, at known moments."""

import math

import pytest
import torch

from lightning_gen.distributions import GaussianCorruption, MaskingCorruption, SaltAndPepperCorruption
from lightning_gen.distributions.corruptions import Corruption
from lightning_gen.errors import UserError
from lightning_gen.noise import IndexedNoise
from lightning_gen.registry import build

SHAPE, COUNT = (1, 5, 8), 4096
N = COUNT * math.prod(SHAPE)


def corrupted(corruption, value):
    x = torch.full((COUNT, *SHAPE), value)
    return x, corruption.corrupt(x, IndexedNoise(0, range(COUNT)))


def share(mask, probability):
    """A share of N draws is within 5 standard errors of its probability."""
    assert abs(mask.double().mean().item() - probability) < 5 * math.sqrt(probability * (1 - probability) / N)


def test_gaussian_noise_has_its_scale_and_leaves_the_interval():
    x, spoiled = corrupted(GaussianCorruption(SHAPE, scale=0.3), 0.75)
    residual = (spoiled - x).double()
    assert abs(residual.mean().item()) < 5 * 0.3 / math.sqrt(N)
    assert abs(residual.var().item() - 0.09) < 5 * 0.09 * math.sqrt(2 / N)
    assert spoiled.max() > 1


@pytest.mark.parametrize("probability", [0.1, 0.5])
def test_masking_sets_values_to_zero_and_leaves_the_others(probability):
    x, spoiled = corrupted(MaskingCorruption(SHAPE, probability), 0.75)
    share(spoiled == 0, probability)
    assert torch.equal(spoiled[spoiled != 0], x[spoiled != 0])


@pytest.mark.parametrize("probability", [0.1, 0.5])
def test_salt_is_as_likely_as_pepper(probability):
    x, spoiled = corrupted(SaltAndPepperCorruption(SHAPE, probability), 0.75)
    share(spoiled == 0, probability / 2)
    share(spoiled == 1, probability / 2)
    kept = (spoiled != 0) & (spoiled != 1)
    assert torch.equal(spoiled[kept], x[kept])


@pytest.mark.parametrize("kind", [GaussianCorruption, MaskingCorruption, SaltAndPepperCorruption])
def test_draws_belong_to_the_image_and_the_name(kind):
    corruption, x = kind(SHAPE), torch.rand(COUNT, *SHAPE)
    whole = corruption.corrupt(x, IndexedNoise(0, range(COUNT)), "a")
    assert torch.equal(corruption.corrupt(x[70:90], IndexedNoise(0, range(70, 90)), "a"), whole[70:90])
    assert not torch.equal(corruption.corrupt(x, IndexedNoise(0, range(COUNT)), "b"), whole)


@pytest.mark.parametrize(
    ("spec", "shape", "message"),
    [
        ({"class_path": "GaussianCorruption", "scale": 0.0}, SHAPE, r"model\.corruption\.scale: expected a positive number, got 0\.0"),
        ({"class_path": "MaskingCorruption", "probability": 1.0}, SHAPE, r"model\.corruption\.probability: expected .* got 1\.0"),
        ({"class_path": "SaltAndPepperCorruption", "probability": 0.0}, SHAPE, r"model\.corruption\.probability: expected .* got 0\.0"),
        ("SaltAndPepperCorruption", (2,), "needs images, got data_shape"),
        ("SaltPepperCorruption", SHAPE, "did you mean 'SaltAndPepperCorruption'"),
        ({"class_path": "MaskingCorruption", "share": 0.5}, SHAPE, r"model\.corruption\.share: unknown option of MaskingCorruption"),
    ],
)
def test_a_corruption_that_makes_no_sense_is_refused_by_name(spec, shape, message):
    with pytest.raises(UserError, match=message):
        build(spec, Corruption, "model.corruption", data_shape=shape)
