"""The path starts at the noise, ends at the sample, and has one more layer at every step."""

import pytest
import torch
from bijection_checks import perturbed

from lightning_gen import models
from lightning_gen.analysis.exploration import Request
from lightning_gen.analysis.flow_path import brief, colours_of, range_of
from lightning_gen.analysis.kinds import KINDS, obstacles
from lightning_gen.analysis.latent_space import LatentSpace
from lightning_gen.analysis.sheets import words
from lightning_gen.bijections.base import Chain
from lightning_gen.bijections.normalization import BatchNormalization
from lightning_gen.bijections.scaling import LearnedNormal
from lightning_gen.bijections.shapes import Permutation, Squeeze
from lightning_gen.data import Digits, ToyDensity

DIGITS = Digits(batch_size=64)


def vector_flow(dimensions=2, form=models.NSF):
    return perturbed(form([dimensions], width=6, num_blocks=1, num_steps=2, num_bins=4), 0.2).eval()


def image_flow():
    return perturbed(models.Glow([1, 8, 8], width=4, num_steps=1), 0.1).eval()


def explore(model, data, **request):
    space = LatentSpace(model, data, "validation")
    with model.inference():
        assert obstacles(space, [KINDS["path"]], Request(**request)) == {}
        return KINDS["path"].draw(space, Request(**request))


def test_what_is_learned_is_a_layer_and_what_only_moves_numbers_is_none():
    flow = models.RealNVP([1, 8, 8], width=4, num_blocks=1)
    layers = flow.bijection.learned_layers()
    assert {type(layer).__name__ for layer in layers} == {"Coupling", "BatchNormalization"}
    assert len(layers) == 2 * (3 + 3 + 4)
    glow = models.Glow([1, 8, 8], width=4, num_steps=1).bijection.learned_layers()
    assert [type(layer).__name__ for layer in glow] == [
        "LearnedNormal", "SplitCoupling", "InvertibleConvolution", "ActNorm",
        "FactorOut", "SplitCoupling", "InvertibleConvolution", "ActNorm",
    ]  # fmt: skip


@pytest.mark.parametrize("make", [vector_flow, image_flow])
def test_all_layers_are_the_inverse_and_none_is_the_noise_in_the_datas_shape(make):
    model = make()
    z = torch.randn(5, model.bijection(torch.rand(1, *model.data_shape))[0].shape[1])
    with model.inference():
        layers = model.bijection.learned_layers()
        assert torch.equal(model.bijection.partial_inverse(z, set(layers)), model.bijection.inverse(z))
        untouched = model.bijection.partial_inverse(z, set())
    assert untouched.shape == (5, *model.data_shape)
    shifted = 0.5 if len(model.data_shape) == 3 else 0.0  # Glow's centring is no layer
    torch.testing.assert_close(untouched.flatten(1).sort(1).values - shifted, z.sort(1).values)


def test_each_step_has_the_next_layers_done():
    model = vector_flow()
    z = torch.randn(20, 2)
    with model.inference():
        layers = model.bijection.learned_layers()
        path, shares = model.latent_path(z, len(layers) + 1)
        for layer, before, after in zip(layers, path[:-1], path[1:], strict=True):
            torch.testing.assert_close(layer(after)[0], before, rtol=1e-4, atol=1e-4)
    assert shares == [number / len(layers) for number in range(len(layers) + 1)]
    assert torch.equal(path[0], z)


def test_there_are_no_more_points_than_layers_between_both_ends():
    model = vector_flow()
    with model.inference():
        path, shares = model.latent_path(torch.randn(3, 2), 100)
        assert len(path) == len(shares) == len(model.bijection.learned_layers()) + 1
        assert [*model.latent_path(torch.randn(3, 2), 2)[1]] == [0, 1]


def test_running_statistics_are_a_layer_too():
    chain = Chain([Squeeze(), BatchNormalization(4), Permutation.reverse(4)])
    assert chain.learned_layers() == [chain.bijections[1]]


@pytest.mark.parametrize(
    ("make", "data"),
    [
        (image_flow, DIGITS),
        (vector_flow, ToyDensity("two_moons", batch_size=64)),
        (lambda: vector_flow(1, models.AutoregressiveNSF), ToyDensity("three_gaussians", batch_size=64)),
    ],
)
def test_a_picture_has_a_place_for_every_step(make, data):
    model = make()
    found = explore(model, data, num_images=4, steps=3)
    assert found.numbers["shares"][0] == 0
    assert found.numbers["shares"][-1] == 1
    assert len(found.numbers["shares"]) == 3
    assert len(found.numbers["root_mean_square_steps"]) == 2
    assert min(found.numbers["root_mean_square_steps"]) > 0
    wider = explore(model, data, num_images=4, steps=4)
    assert wider.picture.shape[2] > found.picture.shape[2]


def test_the_last_column_shows_the_samples():
    model = image_flow()
    picture = explore(model, DIGITS, num_images=3, steps=2).picture
    sample = model.sample(1)[0, 0]
    tile = sample.repeat_interleave(4, 0).repeat_interleave(4, 1)
    assert (picture[0].unfold(0, 32, 1).unfold(1, 32, 1) == tile).all((2, 3)).any()


def test_points_before_the_samples_are_shown_in_a_range_of_their_own_that_is_stated():
    """Of noise far outside of a pixel's range nothing would be seen but black and white."""
    values = torch.cat([torch.linspace(-30, 50, 99), torch.tensor([1e6])]).repeat_interleave(64)
    low, high = range_of(values)
    assert (low, high) == pytest.approx((-30, 50), abs=1)
    model = image_flow()
    for scaling in (layer for layer in model.modules() if isinstance(layer, LearnedNormal)):
        scaling.moments.data.fill_(1.0)
    found = explore(model, DIGITS, num_images=4, steps=4)
    assert len(found.numbers["ranges"]) == len(found.numbers["shares"]) == 4
    assert found.numbers["ranges"][-1] == [0, 1]
    assert all(high - low > 4 for low, high in found.numbers["ranges"][:-1])
    columns = tiles(found.picture, 4, 4)
    for column in range(3):
        shades = columns[:, column].flatten()
        assert ((shades > 0) & (shades < 255)).float().mean() > 0.9
    assert contains(found.picture, words(brief(found.numbers["ranges"][1][0])))


@pytest.mark.parametrize(
    ("number", "text"), [(0.0, "0"), (-0.123, "-0.12"), (9.96, "10"), (-153.4, "-153"), (9999.4, "9999"), (-12345.0, "-1e+04")]
)
def test_a_number_above_a_column_is_brief(number, text):
    assert brief(number) == text


def tiles(picture, rows, columns):
    """The images of a sheet of 8x8 images, ``(rows, columns, 8, 8)``: from its lower right corner."""
    grid = picture[0, picture.shape[1] - 6 - rows * 34 - 2 :, picture.shape[2] - 6 - columns * 34 - 2 :][2:, 2:]
    return grid.unfold(0, 34, 34).unfold(1, 34, 34)[..., :32:4, :32:4]


def contains(picture, patch):
    """Whether a patch stands somewhere in a picture, ink for ink."""
    return (picture[0].unfold(0, patch.shape[1], 1).unfold(1, patch.shape[2], 1) == patch[0]).all((2, 3)).any()


def test_the_axes_of_points_are_named():
    line = explore(vector_flow(1, models.AutoregressiveNSF), ToyDensity("three_gaussians", batch_size=64), num_images=9, steps=2).picture
    assert contains(line, words("value so far"))
    assert contains(line, words("noise at the start").rot90(1, (1, 2)))
    plane = explore(vector_flow(), ToyDensity("two_moons", batch_size=64), num_images=9, steps=2).picture
    assert contains(plane, words("first number"))
    assert contains(plane, words("second number").rot90(1, (1, 2)))


def test_points_keep_the_colour_of_their_direction():
    angle = torch.tensor([0.0, 1.0, 2.0, -1.0])
    z = torch.stack([angle.cos(), angle.sin()], dim=1)
    assert torch.equal(colours_of(z), colours_of(3 * z))
    assert len({tuple(colour) for colour in colours_of(z).tolist()}) == 4
    assert tuple(colours_of(z)[0].tolist()) == (220, 55, 55)


def test_a_model_without_a_path_says_so():
    space = LatentSpace(models.DCGAN([1, 8, 8], width=4), DIGITS)
    assert obstacles(space, [KINDS["path"]], Request())["path"].startswith("DCGAN has no path from noise to data")
