"""The mixture of discretised logistics of a pixel is a distribution of its levels, exactly, and its draws follow it."""

import itertools

import pytest
import torch

from lightning_gen.distributions.pixels.base import PixelDistribution
from lightning_gen.distributions.pixels.logistic_mixture import DiscretizedLogisticMixture
from lightning_gen.errors import UserError

COLOURS = [(1, 8), (1, 1), (2, 3), (3, 1), (3, 2)]


def every_pixel(pixels):
    """All levels of a pixel, ``(N, C, 1, 1)``."""
    levels = torch.tensor(list(itertools.product(range(pixels.num_levels), repeat=pixels.channels)))
    return levels[..., None, None]


def masses(pixels, parameters):
    """log-masses of all levels ``(N,)``, of the parameters ``(P,)`` of one pixel."""
    levels = every_pixel(pixels)
    return pixels.log_prob(parameters[None, :, None, None].expand(len(levels), -1, 1, 1), levels)


def random_parameters(pixels, spread=1.0):
    """Components around the middle with scales about a fifth of the range, and strong ties between colours."""
    logits, means, log_scales, coefficients = (torch.randn(size, pixels.num_components) for size in pixels.sizes)
    return torch.cat([logits, spread * means, log_scales - 1.6, 2 * coefficients]).flatten()


def by_differences(pixels, parameters, levels):
    """The mass of one pixel in float64, as the paper writes it: sigmoids and their differences, level by level."""
    sizes = [size * pixels.num_components for size in pixels.sizes]
    logits, means, log_scales, coefficients = (part.view(-1, pixels.num_components) for part in parameters.double().split(sizes))
    top = pixels.num_levels - 1
    x = [2 * level / top - 1 for level in levels.flatten().tolist()]
    total = 0.0
    for k, weight in enumerate(logits[0].softmax(0).tolist()):
        product = weight
        for c in range(pixels.channels):
            row = c * (c - 1) // 2
            mean = means[c, k] + sum(torch.tanh(coefficients[row + b, k]) * x[b] for b in range(c))
            scale = log_scales[c, k].exp()
            above = torch.sigmoid((x[c] + 1 / top - mean) / scale) if x[c] < 1 - 1e-9 else 1.0
            below = torch.sigmoid((x[c] - 1 / top - mean) / scale) if x[c] > -1 + 1e-9 else 0.0
            product = product * (above - below)
        total = total + product
    return float(total)


@pytest.mark.parametrize(("channels", "num_bits"), COLOURS)
@pytest.mark.usefixtures("float64")
def test_the_masses_of_all_levels_sum_to_one(channels, num_bits):
    pixels = DiscretizedLogisticMixture(channels, num_bits, num_components=3)
    for spread in (0.3, 3.0):  # with means outside of the range too, where the cells at the edges hold most
        torch.testing.assert_close(
            masses(pixels, random_parameters(pixels, spread)).exp().sum(), torch.ones(()).double(), rtol=1e-12, atol=0
        )


@pytest.mark.parametrize(("channels", "num_bits"), COLOURS)
@pytest.mark.usefixtures("float64")
def test_a_mass_is_the_difference_of_the_distribution_function(channels, num_bits):
    pixels = DiscretizedLogisticMixture(channels, num_bits, num_components=3)
    parameters = random_parameters(pixels)
    expected = torch.tensor([by_differences(pixels, parameters, levels) for levels in every_pixel(pixels)])
    torch.testing.assert_close(masses(pixels, parameters).exp(), expected, rtol=1e-9, atol=1e-14)


def test_an_image_is_the_product_of_its_pixels():
    pixels = DiscretizedLogisticMixture(3, 8, num_components=4)
    parameters, levels = torch.randn(2, pixels.num_parameters, 3, 5), torch.randint(0, 256, (2, 3, 3, 5))
    apart = pixels.log_prob(parameters.permute(0, 2, 3, 1).reshape(30, -1, 1, 1), levels.permute(0, 2, 3, 1).reshape(30, 3, 1, 1))
    torch.testing.assert_close(pixels.log_prob(parameters, levels), apart.view(2, 15).sum(1))


@pytest.mark.parametrize("channels", [1, 3])
def test_far_in_the_tails_log_masses_and_gradients_are_finite(channels):
    pixels = DiscretizedLogisticMixture(channels, 8, num_components=2)
    levels = torch.tensor([0, 1, 128, 254, 255]).view(-1, 1, 1, 1).expand(-1, channels, 1, 1)
    for mean, log_scale in itertools.product((-1000.0, -1.0, 0.0, 1.0, 1000.0), (-1000.0, -7.0, 0.0, 7.0, 40.0)):
        parts = [torch.full((size, 2), value) for size, value in zip(pixels.sizes, (0.0, mean, log_scale, 0.5), strict=True)]
        parameters = torch.cat(parts).view(1, -1, 1, 1).repeat(5, 1, 1, 1).requires_grad_()
        log_prob = pixels.log_prob(parameters, levels)
        log_prob.sum().backward()
        assert log_prob.isfinite().all()
        assert parameters.grad.isfinite().all()


def test_parameters_of_half_the_precision_are_taken_in_float32():
    pixels = DiscretizedLogisticMixture(3, 8)
    parameters, levels = torch.randn(2, 100, 4, 4, dtype=torch.bfloat16), torch.randint(0, 256, (2, 3, 4, 4))
    log_prob = pixels.log_prob(parameters, levels)
    assert log_prob.dtype == torch.float32
    assert torch.equal(log_prob, pixels.log_prob(parameters.float(), levels))


@pytest.mark.parametrize(("channels", "num_bits"), [(1, 4), (3, 1), (3, 2)])
@pytest.mark.usefixtures("float64")
def test_draws_follow_the_masses(channels, num_bits):
    """Pearson's statistic within six standard deviations of its mean."""
    count = 40_000
    pixels = DiscretizedLogisticMixture(channels, num_bits, num_components=3)
    parameters = random_parameters(pixels)
    drawn = pixels.draw(parameters.expand(count, -1), torch.rand(count, pixels.num_uniforms))
    number = (drawn * pixels.num_levels ** torch.arange(channels - 1, -1, -1)).sum(1)
    expected = count * masses(pixels, parameters).exp()
    counts = torch.bincount(number, minlength=len(expected))
    often = expected > 5
    statistic = ((counts - expected).square() / expected)[often].sum()
    assert often.sum() > 5
    assert abs(float(statistic - often.sum())) < 6 * float(2 * often.sum()) ** 0.5


def test_the_ends_of_the_uniform_numbers_draw_the_ends_of_the_range():
    pixels = DiscretizedLogisticMixture(3, 8)
    assert pixels.draw(torch.zeros(1, 100), torch.zeros(1, 4)).tolist() == [[0, 0, 0]]
    assert pixels.draw(torch.zeros(1, 100), torch.ones(1, 4)).tolist() == [[255, 255, 255]]


def test_a_pixel_is_one_place_with_the_papers_number_of_parameters():
    pixels: PixelDistribution = DiscretizedLogisticMixture(3, 8)
    assert (pixels.groups, pixels.in_features, pixels.num_parameters, pixels.num_uniforms) == (1, 3, 100, 4)
    assert DiscretizedLogisticMixture(1, 8).num_parameters == 30


def test_no_components_are_refused():
    with pytest.raises(UserError, match=r"model\.output\.num_components: expected at least 1, got 0"):
        DiscretizedLogisticMixture(1, 8, num_components=0)


@pytest.mark.parametrize("floor", [-1000.0, 41.0, float("nan")])
def test_a_floor_of_the_scales_whose_exponential_is_not_finite_is_refused(floor):
    with pytest.raises(UserError, match=rf"model\.output\.min_log_scale: expected -40 to 40, got {floor}"):
        DiscretizedLogisticMixture(1, 8, min_log_scale=floor)


def test_masses_and_gradients_are_finite_at_the_smallest_scale_that_there_can_be():
    pixels = DiscretizedLogisticMixture(1, 8, num_components=2, min_log_scale=-40.0)
    parts = [torch.full((size, 2), value) for size, value in zip(pixels.sizes, (0.0, 0.3, -1000.0, 0.5), strict=True)]
    parameters = torch.cat(parts).view(1, -1, 1, 1).repeat(5, 1, 1, 1).requires_grad_()
    log_prob = pixels.log_prob(parameters, torch.tensor([0, 1, 128, 254, 255]).view(-1, 1, 1, 1))
    log_prob.sum().backward()
    assert log_prob.isfinite().all()
    assert parameters.grad.isfinite().all()
