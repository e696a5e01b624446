"""The same noise at several temperatures: scaled, decoded, the model itself last."""

import pytest
import torch
from bijection_checks import perturbed
from latent_models import KnownPosterior, asked

from lightning_gen import models
from lightning_gen.analysis.exploration import Request
from lightning_gen.analysis.kinds import KINDS, obstacles
from lightning_gen.analysis.latent_space import LatentSpace
from lightning_gen.analysis.temperature import TEMPERATURES
from lightning_gen.data import Digits, ToyDensity

DIGITS = Digits(batch_size=64)


def explore(space, **request):
    with space.model.inference():
        assert obstacles(space, [KINDS["temperature"]], Request(**request)) == {}
        return KINDS["temperature"].draw(space, Request(**request))


def test_every_row_is_the_same_noise_scaled():
    space = LatentSpace(KnownPosterior([1, 8, 8]).double().eval(), DIGITS, seed=5)
    explore(space, num_images=7)
    rows = asked(space.model).view(len(TEMPERATURES), 7, 3)
    with space.model.inference():
        z = space.draw(range(7)).z
    for row, temperature in zip(rows, TEMPERATURES, strict=True):
        torch.testing.assert_close(row, temperature * z)
    assert TEMPERATURES[-1] == 1


@pytest.mark.parametrize(("dimensions", "density"), [(1, "two_gaussians"), (2, "two_moons")])
def test_samples_of_a_flow_of_vectors_spread_with_the_temperature(dimensions, density):
    """An autoregressive flow without training is linear: the spread is proportional."""
    model = models.AutoregressiveNSF([dimensions], width=4, num_blocks=1, num_steps=1).eval()
    found = explore(LatentSpace(model, ToyDensity(density, batch_size=64), "validation"), num_images=200)
    spread = torch.tensor(found.numbers["mean_standard_deviation"])
    torch.testing.assert_close(spread, spread[-1] * torch.tensor(TEMPERATURES), rtol=1e-4, atol=1e-4)
    assert found.picture.dtype == torch.uint8


def test_images_have_a_row_for_each_temperature():
    model = perturbed(models.NSF([1, 8, 8], width=4, num_blocks=1, num_steps=1), 0.1)
    found = explore(LatentSpace(model.eval(), DIGITS, "validation"), num_images=3)
    assert found.picture.shape[1] > 5 * 32
    assert found.numbers["temperatures"] == [*TEMPERATURES]


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (models.DCGAN([1, 8, 8], width=4), "DCGAN does not draw its latents from a standard normal"),
        (models.RealNVP([1, 8, 8], width=4, num_blocks=1, temperature=0.7), "RealNVP does not draw its latents from a standard normal"),
        (models.Autoencoder([1, 8, 8], latent_dim=2), "Autoencoder has no prior"),
    ],
)
def test_what_has_no_normal_noise_has_no_temperature(model, words):
    space = LatentSpace(model, DIGITS)
    with model.inference():
        assert words in obstacles(space, [KINDS["temperature"]], Request())["temperature"]
