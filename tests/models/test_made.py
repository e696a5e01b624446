"""MADE and the fully visible sigmoid belief network: exact distributions whatever the order."""

import pytest
import torch
from autoregressive_checks import check_completion, check_mass, check_samples_follow_the_likelihood

from lightning_gen.errors import UserError
from lightning_gen.models import FVSBN, MADE
from lightning_gen.noise import IndexedNoise

CASES = {
    "FVSBN": lambda **options: FVSBN([1, 3, 3], num_bits=1, output="Bernoulli", **options),
    "MADE": lambda **options: MADE([1, 3, 3], num_bits=1, hidden=[20], output="Bernoulli", **options),
    "MADE of two bits": lambda **options: MADE([1, 2, 3], num_bits=2, hidden=[20], order="diagonal", **options),
    "MADE of colours": lambda **options: MADE([3, 2, 2], num_bits=1, hidden=[30, 30], order="random", **options),
}


@pytest.mark.parametrize("name", CASES)
def test_the_probabilities_of_all_images_sum_to_one(name):
    check_mass(CASES[name]())


def test_they_do_for_every_class():
    check_mass(CASES["MADE"](num_classes=3, conditional=True))


@pytest.mark.parametrize("name", ["FVSBN", "MADE of two bits"])
def test_samples_follow_the_likelihood(name):
    check_samples_follow_the_likelihood(CASES[name]())


def test_completions_keep_what_is_visible(tiny):
    images, _ = tiny().batch("test", range(6))
    check_completion(MADE([1, 8, 8], hidden=[30]), images)


def test_completions_of_what_makes_no_sense_are_refused():
    model, noise = CASES["MADE of two bits"](), IndexedNoise(0, range(2))
    images, hidden = torch.zeros(2, 1, 2, 3, dtype=torch.uint8), torch.ones(2, 3, dtype=torch.bool)
    for image, mask, words in [
        (images.float(), hidden, "images: MADE completes uint8"),
        (images[..., :2], hidden[:, :2], "images: MADE completes uint8"),
        (images + 7, hidden, "images: MADE was trained on 2 bits a pixel"),
        (images, hidden.float(), "hidden: expected bool"),
        (images, hidden[:, :2], "hidden: expected bool"),
    ]:
        with pytest.raises(UserError, match=words):
            model.complete(image, mask, noise)


def test_somebody_is_told_of_every_place_that_is_drawn():
    model, told = CASES["MADE of colours"](), []
    model.on_place = lambda done, total: told.append((done, total))
    model.sample(2)
    assert told == [(place + 1, 12) for place in range(12)]


def test_fvsbn_is_logistic_regression_on_the_pixels_before(float64):
    model = CASES["FVSBN"]()
    layer = model.distribution.network.layers.layers[0]
    with torch.no_grad():
        layer.weight.normal_()
        layer.bias.normal_()
    images = (torch.rand(4, 1, 3, 3) < 0.5).to(torch.uint8) * 255
    x = images.flatten(1).double() / 127.5 - 1
    with model.inference("live"):
        log_prob = model.double().log_prob(images, noise=IndexedNoise(0, range(4)))
    logits = x @ layer.weight.tril(-1).T + layer.bias
    torch.testing.assert_close(log_prob, torch.distributions.Bernoulli(logits=logits).log_prob((x + 1) / 2).sum(1))


def test_vectors_and_grey_images_in_a_bernoulli_are_refused():
    with pytest.raises(UserError, match=r"model\.data_shape: MADE needs images"):
        MADE([7])
    with pytest.raises(UserError, match=r"model\.output: Bernoulli needs binary images, got 8 bits"):
        MADE([1, 2, 2], output="Bernoulli")
