"""Every autoregressive model of grey images and of colours: an exact distribution, samples that follow it, and completions."""

import inspect
import sys

import pytest
import torch
from autoregressive_checks import check_completion, check_mass, check_samples_follow_the_likelihood

from lightning_gen.errors import UserError
from lightning_gen.models import (
    FVSBN,
    MADE,
    CoordinatePixelRNN,
    DiagonalBiLSTM,
    GatedPixelCNN,
    ImageTransformer,
    PixelCNN,
    PixelCNNPP,
    RowLSTM,
    WaveNet,
)
from lightning_gen.noise import IndexedNoise

SIZES = {
    CoordinatePixelRNN: {"hidden_size": 7},
    DiagonalBiLSTM: {"width": 6, "num_layers": 2, "head_width": 12},
    FVSBN: {},
    GatedPixelCNN: {"width": 6, "num_layers": 2, "head_width": 12, "first_kernel_size": 3, "kernel_size": 3},
    ImageTransformer: {"width": 8, "num_blocks": 2, "num_heads": 2},
    MADE: {"hidden": [20]},
    PixelCNN: {"width": 6, "num_blocks": 1, "head_width": 12, "first_kernel_size": 3},
    RowLSTM: {"width": 6, "num_layers": 2, "head_width": 12},
    WaveNet: {"dilations": [1, 3], "width": 4, "skip_width": 9},
}
"""PixelCNN++, whose smallest image is larger, has tests of its own."""
DATA = {
    "binary": {"data_shape": [1, 3, 3], "num_bits": 1, "output": "Bernoulli"},
    "two bits": {"data_shape": [1, 2, 3], "num_bits": 2},
    "colours": {"data_shape": [3, 2, 2], "num_bits": 1},
    "one pixel": {"data_shape": [1, 1, 1], "num_bits": 8},
}
OPTIONS = {
    CoordinatePixelRNN: {"num_layers": 2, "coordinates": False},
    GatedPixelCNN: {"num_layers": 3, "dilations": [2, 1]},
    ImageTransformer: {"order": "random"},
    MADE: {"hidden": [30, 30], "order": "diagonal"},
    PixelCNN: {"num_blocks": 2, "dilations": [2, 1]},
    WaveNet: {"dilations": [1, 2, 4], "coordinates": False},
}
OF_NETWORKS = {
    "activation": "silu",
    "coordinates": False,
    "dilations": [2, 1],
    "dropout": 0.25,
    "first_kernel_size": 5,
    "head_width": 9,
    "hidden": [11],
    "hidden_size": 5,
    "kernel_size": 7,
    "num_blocks": 2,
    "num_heads": 3,
    "num_layers": 3,
    "order": "random",
    "order_seed": 3,
    "skip_width": 5,
    "width": 12,
}
"""A value of each option of a network, which is no model's default."""
every_model = pytest.mark.parametrize("model", SIZES)


@pytest.mark.parametrize("data", DATA)
@every_model
def test_the_probabilities_of_all_images_sum_to_one(model, data):
    check_mass(model(**SIZES[model], **DATA[data]))


@pytest.mark.parametrize("data", ["two bits", "colours"])
@pytest.mark.parametrize("model", OPTIONS)
def test_they_do_with_other_orders_dilations_and_depths(model, data):
    check_mass(model(**{**SIZES[model], **OPTIONS[model], **DATA[data]}))


@every_model
def test_they_do_for_every_class(model):
    check_mass(model(**SIZES[model], **DATA["binary"], num_classes=3, conditional=True))


@pytest.mark.parametrize("data", ["binary", "two bits"])
@every_model
def test_samples_follow_the_likelihood(model, data):
    check_samples_follow_the_likelihood(model(**SIZES[model], **DATA[data]))


def test_samples_of_colours_in_a_random_order_follow_the_likelihood():
    check_samples_follow_the_likelihood(MADE([3, 1, 2], num_bits=1, hidden=[30], order="random"))


@every_model
def test_completions_keep_what_is_visible(model, tiny):
    images, _ = tiny().batch("test", range(6))
    check_completion(model([1, 8, 8], **SIZES[model]), images)


def test_completions_of_what_makes_no_sense_are_refused():
    model, noise = MADE(**SIZES[MADE], **DATA["two bits"]), IndexedNoise(0, range(2))
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
    with pytest.raises(UserError, match="noise: expected one for each of the 2 images, got 3"):
        model.complete(images, hidden, IndexedNoise(0, range(3)))


@pytest.mark.parametrize("model", [*(model for model in SIZES if model is not FVSBN), PixelCNNPP])
def test_a_network_is_given_all_of_its_options(model, monkeypatch):
    kind, given = type(model([1, 4, 4], **SIZES.get(model, {"width": 2})).distribution.network), {}
    options = {name: OF_NETWORKS[name] for name in inspect.signature(kind).parameters if name != "places"}

    def build(places, **own):
        given.update(own)
        return kind(places, **own)

    monkeypatch.setattr(sys.modules[model.__module__], kind.__name__, build)
    model([1, 4, 4], **options)
    assert given == options


def test_somebody_is_told_of_every_place_that_is_drawn():
    model, told = MADE(**SIZES[MADE], **DATA["colours"]), []
    model.on_place = lambda done, total: told.append((done, total))
    model.sample(2)
    assert told == [(place + 1, 12) for place in range(12)]


def test_vectors_and_grey_images_in_a_bernoulli_are_refused():
    with pytest.raises(UserError, match=r"model\.data_shape: MADE needs images"):
        MADE([7])
    with pytest.raises(UserError, match=r"model\.output: Bernoulli needs binary images, got 8 bits"):
        MADE([1, 2, 2], output="Bernoulli")
