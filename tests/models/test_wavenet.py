"""WaveNet: an exact distribution, samples that follow it, and completions."""

import pytest
from autoregressive_checks import check_completion, check_mass, check_samples_follow_the_likelihood

from lightning_gen.models import WaveNet

CASES = {
    "binary": lambda **options: WaveNet([1, 3, 3], num_bits=1, dilations=[1, 3], width=4, skip_width=9, output="Bernoulli", **options),
    "two bits": lambda **options: WaveNet([1, 2, 3], num_bits=2, dilations=[1, 2, 4], width=4, skip_width=9, **options),
    "colours": lambda **options: WaveNet([3, 2, 2], num_bits=1, dilations=[3, 1], width=4, skip_width=9, coordinates=False, **options),
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
    check_completion(WaveNet([1, 8, 8], dilations=[1, 8], width=4, skip_width=9), images)
