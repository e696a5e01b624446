"""Completions: the upper half of an image as it is, the lower half from the model, by noise that belongs to the image."""

import pytest
import torch
from bijection_checks import perturbed

from lightning_gen import models
from lightning_gen.analysis.completion import complete, lower_half
from lightning_gen.analysis.exploration import Request
from lightning_gen.analysis.kinds import KINDS, obstacles
from lightning_gen.analysis.latent_space import LatentSpace
from lightning_gen.data import Digits
from lightning_gen.errors import UserError

DIGITS = Digits(batch_size=64)


@pytest.fixture
def space():
    return LatentSpace(perturbed(models.MADE([1, 8, 8], num_bits=4, hidden=[70]).eval(), 0.1), DIGITS)


def explore(space, **request):
    with space.model.inference():
        assert obstacles(space, [KINDS["completion"]], Request(**request)) == {}
        return KINDS["completion"].draw(space, Request(**request))


def test_a_row_is_the_image_what_is_seen_of_it_and_its_completions(space):
    found = explore(space, images=(5, 2), steps=3)
    assert found.numbers["images"] == [5, 2]
    assert found.numbers["completions"] == 3
    assert 0 < found.numbers["mse_of_hidden_pixels"] < 1
    assert found.picture.dtype == torch.uint8


def test_a_completion_keeps_the_upper_half_and_belongs_to_its_image_alone(space):
    images, labels = space.images([5, 2])
    hidden = lower_half(images)
    with space.model.inference():
        first, second = (complete(space, images, labels, hidden, [5, 2], draw) for draw in (0, 1))
        alone = complete(space, images[1:], labels[1:], hidden, [2], 0)
    assert torch.equal(first[:, :, :4], images[:, :, :4])
    assert not torch.equal(first[:, :, 4:], images[:, :, 4:])
    assert not torch.equal(first, second)
    assert torch.equal(alone, first[1:])


def test_who_cannot_complete_says_so_and_images_that_are_not_there_are_refused(space):
    other = LatentSpace(models.DCGAN([1, 8, 8], width=4), DIGITS)
    with other.model.inference():
        assert "DCGAN does not complete" in obstacles(other, [KINDS["completion"]], Request())["completion"]
    with pytest.raises(UserError, match="images"), space.model.inference():
        obstacles(space, [KINDS["completion"]], Request(images=(100_000,)))
