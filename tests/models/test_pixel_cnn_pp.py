"""PixelCNN++: an exact distribution of images whose parameters start from the first batch and whose learning rate decays."""

import itertools
import math

import pytest
import torch
from autoregressive_checks import check_completion, check_mass, check_samples_follow_the_likelihood
from bijection_checks import perturbed

from lightning_gen.errors import UserError
from lightning_gen.images import from_levels
from lightning_gen.models import PixelCNNPP
from lightning_gen.noise import IndexedNoise

TINY = {"width": 2, "num_blocks": 1, "output": {"class_path": "DiscretizedLogisticMixture", "init_args": {"num_components": 2}}}
NO_LABELS = torch.zeros(0)


def tiny(data_shape=(1, 4, 4), **options):
    return PixelCNNPP([*data_shape], **{**TINY, **options})


@pytest.mark.slow
def test_the_probabilities_of_all_images_sum_to_one():
    check_mass(tiny(num_bits=1))


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("labels", [None, torch.tensor(1)])
def test_all_that_can_follow_the_first_pixels_has_their_probability(labels):
    model = perturbed(tiny((3, 4, 4), num_bits=1, num_classes=2, conditional=labels is not None).double().eval(), 0.3)
    last = torch.tensor(list(itertools.product(range(2), repeat=6))).view(64, 3, 2)
    levels = torch.randint(0, 2, (1, 3, 4, 4)).repeat(64, 1, 1, 1)
    levels[:, :, 3, 2:] = last
    labels = None if labels is None else labels.expand(64)
    whole = model.log_prob(from_levels(levels, 1), labels=labels, noise=IndexedNoise(0, range(64)))
    pixels = model.distribution.pixels
    parameters = model.distribution.network(pixels.inputs(levels), model.context(labels))
    first = pixels.log_prob(parameters.flatten(2)[:, :, :14, None], levels.flatten(2)[:, :, :14, None])
    torch.testing.assert_close(whole.logsumexp(0), first[0], rtol=1e-10, atol=0)


@pytest.mark.slow
def test_samples_follow_the_likelihood():
    check_samples_follow_the_likelihood(tiny(num_bits=1))


def test_completions_keep_what_is_visible():
    check_completion(tiny((3, 8, 8)), torch.randint(0, 256, (5, 3, 8, 8), dtype=torch.uint8))


def test_the_first_batch_sets_the_scales_of_the_parameters_that_the_network_says():
    model = tiny((3, 8, 8), dropout=0.0)
    images = torch.randint(0, 256, (16, 3, 8, 8), dtype=torch.uint8)
    model.initialize_from_data((images, NO_LABELS), IndexedNoise(0, range(16)))
    with torch.no_grad():
        said = model.distribution.network(model.distribution.pixels.inputs(images.long()))
    rows = said.movedim(1, -1).flatten(0, -2)
    torch.testing.assert_close(rows.mean(0), torch.zeros(rows.shape[1]), rtol=0, atol=1e-5)
    torch.testing.assert_close(rows.std(0, correction=0), torch.ones(rows.shape[1]), rtol=1e-4, atol=0)


def test_the_learning_rate_decays_by_the_authors_factor_a_step_of_128():
    model = tiny()
    for steps in (0, 1, 1000):
        model.images_seen = 128 * steps
        assert math.isclose(model.learning_rate_factor(), 0.999995**steps, rel_tol=1e-6)
    constant = tiny(half_life_images=0, warmup_images=10)
    for seen, factor in ((5, 0.5), (10**9, 1.0)):
        constant.images_seen = seen
        assert constant.learning_rate_factor() == factor


def test_the_papers_size_is_the_default():
    with torch.device("meta"):
        model = PixelCNNPP([3, 32, 32])
    assert (model.distribution.pixels.num_components, model.hparams.width, model.hparams.num_blocks) == (10, 160, 5)
    assert model.configure_optimizers().defaults["betas"] == (0.95, 0.9995)
    assert sum(parameter.numel() for parameter in model.parameters()) == 53_659_080


def test_what_it_cannot_model_is_refused():
    with pytest.raises(UserError, match=r"model\.data_shape: PixelCNN\+\+ needs a height and a width that 4 divides, got \[28, 30\]"):
        PixelCNNPP([1, 28, 30])
    with pytest.raises(UserError, match=r"model\.output: .* expected DiscretizedLogisticMixture"):
        PixelCNNPP([3, 8, 8], output="Categorical")
    with pytest.raises(UserError, match=r"model\.half_life_images: expected at least 0, got -1"):
        tiny(half_life_images=-1)


def test_colours_of_a_pixel_that_are_tied_together_are_completed_together():
    model, images = tiny((3, 4, 4)), torch.zeros(2, 3, 4, 4, dtype=torch.uint8)
    hidden = torch.zeros(3, 4, 4, dtype=torch.bool)
    hidden[:, 2:] = True
    model.complete(images, hidden, IndexedNoise(0, range(2)))
    hidden[0] = False
    with pytest.raises(UserError, match=r"hidden: PixelCNNPP draws the colours of a pixel together"):
        model.complete(images, hidden, IndexedNoise(0, range(2)))
