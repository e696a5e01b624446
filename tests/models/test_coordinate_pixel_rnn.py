"""A raster LSTM: an exact distribution, samples that follow it, and completions."""

import pytest
from autoregressive_checks import check_completion, check_mass, check_samples_follow_the_likelihood

from lightning_gen.models import CoordinatePixelRNN

CASES = {
    "binary": lambda **options: CoordinatePixelRNN([1, 3, 3], num_bits=1, hidden_size=7, output="Bernoulli", **options),
    "two bits": lambda **options: CoordinatePixelRNN([1, 2, 3], num_bits=2, hidden_size=7, num_layers=2, **options),
    "colours": lambda **options: CoordinatePixelRNN([3, 2, 2], num_bits=1, hidden_size=7, coordinates=False, **options),
}


@pytest.mark.parametrize("name", CASES)
def test_the_probabilities_of_all_images_sum_to_one(name):
    check_mass(CASES[name]())


def test_they_do_for_every_class():
    check_mass(CASES["binary"](num_classes=3, conditional=True))


@pytest.mark.parametrize("name", ["binary", "two bits"])
def test_samples_follow_the_likelihood(name):
    check_samples_follow_the_likelihood(CASES[name]())


def test_completions_keep_what_is_visible(tiny):
    images, _ = tiny().batch("test", range(6))
    check_completion(CoordinatePixelRNN([1, 8, 8], hidden_size=9), images)
