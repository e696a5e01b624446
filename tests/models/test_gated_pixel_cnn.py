"""Gated PixelCNN: an exact distribution, of each class."""

import pytest
from autoregressive_checks import check_completion, check_mass, check_samples_follow_the_likelihood

from lightning_gen.models import GatedPixelCNN

SMALL = {"num_layers": 2, "first_kernel_size": 3, "kernel_size": 3}
CASES = {
    "binary": lambda **options: GatedPixelCNN([1, 3, 3], num_bits=1, output="Bernoulli", width=4, head_width=8, **SMALL, **options),
    "two bits": lambda: GatedPixelCNN([1, 2, 3], num_bits=2, width=4, head_width=8, **SMALL),
    "colours": lambda: GatedPixelCNN([3, 2, 2], num_bits=1, width=6, head_width=12, **SMALL),
}


@pytest.mark.parametrize("name", CASES)
def test_the_probabilities_of_all_images_sum_to_one(name):
    check_mass(CASES[name]())


def test_they_do_for_every_class():
    check_mass(CASES["binary"](num_classes=3, conditional=True))


def test_samples_follow_the_likelihood():
    check_samples_follow_the_likelihood(CASES["binary"]())


def test_completions_keep_what_is_visible(tiny):
    images, _ = tiny().batch("test", range(6))
    check_completion(GatedPixelCNN([1, 8, 8], width=4, head_width=8, **SMALL), images)
