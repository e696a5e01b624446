"""A density is drawn where the model says it is, beside the data, on one scale; its mass and its nats are those of the model."""

import math

import pytest
import torch
from latent_models import lost

from lightning_gen import models
from lightning_gen.analysis.density import BINS, SIZE, in_the_plane, midpoints, on_the_line
from lightning_gen.analysis.exploration import Request
from lightning_gen.analysis.kinds import KINDS, obstacles
from lightning_gen.analysis.latent_space import LatentSpace
from lightning_gen.analysis.plots import BOTTOM, DATA_COLOUR, LEFT, MODEL_COLOUR, Box
from lightning_gen.analysis.sheets import GAP, LINE
from lightning_gen.data import Digits, ToyDensity
from lightning_gen.errors import UserError
from lightning_gen.models.base import GenerativeModel

BRIGHT, DARK = (253, 231, 37), (68, 1, 84)
VAE = {
    "latent_dim": 2,
    "encoder": {"class_path": "MLPEncoder", "init_args": {"hidden": [8]}},
    "decoder": {"class_path": "MLPDecoder", "init_args": {"hidden": [8]}},
}


class Gaussian(GenerativeModel):
    """A normal distribution of standard deviation 1/2 around the origin."""

    def log_prob(self, images, *, labels=None, noise, num_samples=1):
        normal = torch.distributions.Normal(torch.zeros(images.shape[1]), 0.5)
        return normal.log_prob(images).sum(1)

    def likelihood_kind(self, num_samples=1):
        return "exact"


def space_of(model, density="eight_gaussians", split="validation"):
    return LatentSpace(model.eval(), ToyDensity(density, batch_size=64), split)


def explore(space, **request):
    with space.model.inference():
        assert obstacles(space, [KINDS["density"]], Request(**request)) == {}
        return KINDS["density"].draw(space, Request(**request))


@pytest.mark.parametrize("density", ["three_gaussians", "two_moons"])
def test_the_mass_of_a_normal_distribution_inside_the_box_is_the_one_of_the_error_function(density):
    space = space_of(Gaussian([1 if density == "three_gaussians" else 2]), density)
    found = explore(space).numbers
    ends = torch.tensor(found["box"]).double()
    inside = torch.special.erf(ends / (0.5 * math.sqrt(2)))
    assert found["mass"] == pytest.approx((inside[1] - inside[0]).div(2).prod().item(), abs=1e-5)
    points = space.images(range(found["scored"]))[0]
    assert found["nats"] == pytest.approx(-space.model.log_prob(points, noise=None).mean().item(), rel=1e-5)
    assert found["density"] == "exact"


def test_the_box_holds_the_training_data_with_a_margin_of_a_tenth():
    space = space_of(Gaussian([2]))
    data = space.images(range(50_000), "train")[0].double()
    low, high = torch.tensor(explore(space, steps=2).numbers["box"])
    room = 0.1 * (data.max(0).values - data.min(0).values)
    torch.testing.assert_close(low.double(), data.min(0).values - room, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(high.double(), data.max(0).values + room, rtol=1e-6, atol=1e-6)


def test_the_grid_reads_like_the_picture():
    """From left to right and from top to bottom, in the middles of the cells."""
    grid = midpoints((0.0, 10.0), (4.0, 20.0), 2)
    assert grid.tolist() == [[1, 17.5], [3, 17.5], [1, 12.5], [3, 12.5]]
    assert midpoints((0.0,), (3.0,), 3).tolist() == [[0.5], [1.5], [2.5]]


def test_data_and_density_lie_at_the_same_places_on_the_same_scale():
    """All data in the cell at the upper left; all density there too: both pictures are dark but for that corner."""
    box = Box((0.0, 0.0), (1.0, 1.0))
    data = torch.tensor([[0.5 / BINS, 1 - 0.5 / BINS]]).double().expand(10, 2)
    density = torch.zeros(BINS, BINS).double()
    density[0, 0] = BINS**2
    picture, top = in_the_plane(data, density.flatten(), box, ("data", "model"))
    plots = [cut(picture, LEFT), cut(picture, LEFT + SIZE + 2 + 3 * GAP + LEFT)]
    assert torch.equal(*plots)
    assert tuple(plots[0][:, 0, 0].tolist()) == BRIGHT
    assert tuple(plots[0][:, -1, 0].tolist()) == tuple(plots[0][:, 0, -1].tolist()) == DARK
    assert top > 0


def cut(picture, left):
    top = LINE + 2 * GAP
    return picture[:, top : top + SIZE, left : left + SIZE]


def test_on_the_line_the_curve_runs_along_the_tops_of_the_bars_of_its_own_data():
    space = space_of(Gaussian([1]))
    data = torch.arange(1, 10_000).double()[:, None] / 10_000
    data = 0.5 * math.sqrt(2) * torch.special.erfinv(2 * data - 1)
    box = Box((-1.5,), (1.5,))
    density = space.model.log_prob(midpoints((-1.5,), (1.5,), 1000).float(), noise=None).exp()
    picture, top = on_the_line(data, density.double(), box, ("data", "model"))
    assert top == pytest.approx(1 / (0.5 * math.sqrt(2 * math.pi)), rel=0.02)
    plot = picture[:, LINE + 2 * GAP : LINE + 2 * GAP + SIZE, LEFT : LEFT + 3 * SIZE // 2]
    curve = same_colour(plot, MODEL_COLOUR)
    filled = same_colour(plot, DATA_COLOUR)
    height = SIZE - curve.int().argmax(0)
    bars = filled.sum(0)
    assert ((height - bars).abs() < 0.04 * SIZE).float().mean() > 0.95
    assert picture.shape[1] == LINE + 2 * GAP + SIZE + 2 + BOTTOM


def same_colour(plot, colour):
    return (plot == torch.tensor(colour).view(3, 1, 1)).all(0)


def test_a_bound_is_called_a_bound():
    torch.manual_seed(0)
    found = explore(space_of(models.VAE([2], **VAE)), steps=20)
    assert found.numbers["density"] == "k-sample bound of 16 draws"
    assert 0 < found.numbers["mass"] < 1
    assert "k-sample bound" in found.summary


def test_the_same_model_has_the_same_picture():
    torch.manual_seed(0)
    space = space_of(models.VAE([2], **VAE))
    one, other = (explore(space, steps=10) for _ in range(2))
    assert torch.equal(one.picture, other.picture)
    assert one.numbers == other.numbers


@pytest.mark.parametrize(
    ("model", "data", "words"),
    [
        (models.GAN([2]), ToyDensity("two_moons", batch_size=8), "GAN has no likelihood"),
        (models.RealNVP([1, 8, 8], width=4, num_blocks=1), Digits(batch_size=8), "RealNVP makes images; a density is drawn of vectors"),
        (models.RealNVP([3], width=4, num_blocks=1), ToyDensity("two_moons", batch_size=8), "vectors of 3 numbers"),
        (Gaussian([2], num_classes=2, conditional=True), ToyDensity("two_moons", batch_size=8), "one density for each label"),
    ],
)
def test_what_has_no_density_to_draw_says_why(model, data, words):
    assert words in obstacles(LatentSpace(model, data), [KINDS["density"]], Request())["density"]


def test_a_model_of_nan_has_no_density():
    model = lost(models.NSF([2], width=4, num_blocks=1, num_steps=1), "shift")
    with pytest.raises(UserError, match="NSF: some of its densities are NaN"):
        explore(space_of(model), steps=4)
