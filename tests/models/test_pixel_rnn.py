"""Row LSTM and Diagonal BiLSTM: exact distributions."""

import pytest
import torch
from autoregressive_checks import check_completion, check_mass, check_samples_follow_the_likelihood

from lightning_gen.errors import UserError
from lightning_gen.models import DiagonalBiLSTM, RowLSTM

MODELS = [RowLSTM, DiagonalBiLSTM]
SMALL = {"width": 6, "num_layers": 2, "head_width": 12}


@pytest.mark.parametrize("model", MODELS)
def test_the_probabilities_of_all_images_sum_to_one(model):
    check_mass(model([1, 1, 1], **SMALL))  # the smallest image: one pixel, at 8 bits
    check_mass(model([1, 3, 3], num_bits=1, output="Bernoulli", **SMALL))
    check_mass(model([1, 2, 3], num_bits=2, **SMALL))
    check_mass(model([3, 2, 1], num_bits=1, **SMALL))


@pytest.mark.parametrize("model", MODELS)
def test_they_do_for_every_class(model):
    check_mass(model([1, 2, 3], num_bits=1, num_classes=3, conditional=True, **SMALL))


@pytest.mark.parametrize("model", MODELS)
def test_samples_follow_the_likelihood(model):
    check_samples_follow_the_likelihood(model([3, 1, 2], num_bits=1, **SMALL))


@pytest.mark.parametrize("model", MODELS)
def test_completions_keep_what_is_visible(model, tiny):
    images, _ = tiny().batch("test", range(6))
    check_completion(model([1, 8, 8], **SMALL), images)


@pytest.mark.parametrize("model", MODELS)
def test_the_optimiser_is_the_papers(model):
    assert isinstance(model([1, 4, 4], **SMALL).configure_optimizers(), torch.optim.RMSprop)


@pytest.mark.parametrize("model", MODELS)
def test_states_that_the_colours_cannot_share_are_refused(model):
    with pytest.raises(UserError, match=r"model\.width: expected a multiple of 3, the colours of a pixel, got 16"):
        model([3, 4, 4])
