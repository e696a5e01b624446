"""Neural spline flows: bijections in both forms, densities, and more than an affine flow of the same size."""

import math

import pytest
import torch
from bijection_checks import check_bijection, perturbed
from flow_checks import mass_in_the_plane, mean_log_prob

from lightning_gen.bijections.autoregressive import Autoregressive
from lightning_gen.data import Digits, ToyDensity
from lightning_gen.errors import UserError
from lightning_gen.models import NSF, AutoregressiveNSF
from lightning_gen.noise import IndexedNoise

FORMS = [NSF, AutoregressiveNSF]


def small(form, shape, **options):
    return form(shape, **{"width": 6, "num_blocks": 1, "num_steps": 2, "num_bins": 3} | options)


@pytest.mark.parametrize(
    ("form", "shape"),
    [(NSF, [1, 8, 8]), (NSF, [3, 4, 4]), (NSF, [5]), (NSF, [2]), (AutoregressiveNSF, [1, 4, 4]), (AutoregressiveNSF, [5])],
)
def test_it_is_a_bijection_in_both_forms(form, shape, float64):
    model = perturbed(small(form, shape, num_steps=1), 0.1)
    x = torch.rand(2, *shape) if len(shape) == 3 else 2 * torch.randn(4, *shape)
    check_bijection(model.bijection, x)


@pytest.mark.parametrize("shape", [[1, 8, 8], [1, 28, 28], [3, 32, 32]])
def test_every_byte_comes_back_through_the_factored_out_parts(shape):
    model = perturbed(small(NSF, shape), 0.05)
    images = torch.randint(0, 256, (2, *shape), dtype=torch.uint8)
    with model.inference():
        z = model.encode(images)
        assert torch.equal(model.decode(z), images)
    assert z.shape[1] == sum(map(math.prod, model.latent_shapes.values())) == math.prod(shape)


def test_the_levels_are_those_of_glow():
    assert small(NSF, [3, 32, 32]).latent_shapes == {"z_1": (6, 16, 16), "z_2": (12, 8, 8), "z_3": (48, 4, 4)}
    assert small(NSF, [1, 28, 28]).latent_shapes == {"z_1": (2, 14, 14), "z_2": (8, 7, 7)}
    assert small(NSF, [1, 8, 8], num_levels=1).latent_shapes == {"z_1": (4, 4, 4)}
    assert small(AutoregressiveNSF, [1, 8, 8]).latent_shapes == {"z": (64,)}


@pytest.mark.parametrize("form", FORMS)
def test_a_density_of_pairs_integrates_to_one(form, float64):
    assert mass_in_the_plane(perturbed(small(form, [2], num_steps=3), 0.2)) == pytest.approx(1, abs=1e-3)


def test_a_trained_density_on_the_line_integrates_to_one_and_is_nearly_the_datas(fit):
    model, data = small(AutoregressiveNSF, [1], num_steps=2, num_bins=8, learning_rate=0.02), ToyDensity("three_gaussians", batch_size=256)
    fit(model, data, batches=120)
    batch = data.batch("test", range(4000))
    normals = torch.distributions.Normal(torch.tensor([-3.0, 0.0, 2.0]), torch.tensor([0.3, 0.6, 0.2]))
    best = (torch.tensor([0.2, 0.5, 0.3]).log() + normals.log_prob(batch[0])).logsumexp(1).mean()
    assert best - 0.05 < mean_log_prob(model, batch) < best + 0.01
    x = torch.linspace(-12, 12, 24_001)[:, None]
    with model.inference():
        density = model.log_prob(x, noise=IndexedNoise(0, range(len(x)))).exp()
    assert float(density.sum() * 1e-3) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("form", FORMS)
def test_before_training_the_splines_are_the_identity(form):
    model = small(form, [4])
    assert not any(parameter.any() for name, parameter in model.named_parameters() if ".layers.1." in name or name.endswith("last.weight"))
    x = torch.randn(50, 4)
    z, log_det = model.bijection(x)
    # What is left is linear, by orthogonal matrices.
    torch.testing.assert_close(z.norm(dim=1), x.norm(dim=1))
    torch.testing.assert_close(log_det, torch.zeros(50), rtol=0, atol=1e-5)


def test_each_number_of_the_autoregressive_form_depends_on_all_earlier_ones(float64):
    model = perturbed(small(AutoregressiveNSF, [4], num_steps=1), 0.3)
    (layer,) = [layer for layer in model.bijection.bijections if isinstance(layer, Autoregressive)]
    points = torch.randn(8, 4)  # rectifiers are silent at some
    jacobians = torch.autograd.functional.jacobian(lambda x: layer(x)[0].sum(0), points).transpose(0, 1)
    depends = (jacobians != 0).any(0)
    assert torch.equal(depends, torch.ones(4, 4).tril().bool())


def test_it_learns_digits_in_seconds(fit):
    torch.manual_seed(0)
    model, data = small(NSF, [1, 8, 8], num_bits=4, width=8), Digits(batch_size=64)
    fit(model, data, batches=60, max_epochs=10)
    bits = -mean_log_prob(model, data.batch("validation", range(128))) / (64 * math.log(2))
    assert bits < 3.0, "a byte of four bits costs four"


@pytest.mark.parametrize(
    ("form", "shape", "options", "words"),
    [
        (NSF, [1], {}, r"model\.data_shape: NSF's couplings need at least two numbers, got \[1\]; AutoregressiveNSF takes one"),
        (NSF, [1, 6, 6], {"num_levels": 2}, r"model\.num_levels: expected 0 for the usual, or 1 to 1 for images \[1, 6, 6\], got 2"),
        (NSF, [1, 8, 8], {"num_levels": -1}, r"model\.num_levels: expected 0 for the usual, or 1 to 3 for images .*, got -1"),
        (NSF, [2], {"num_levels": 1}, r"model\.num_levels: vectors have one level; expected nothing, got 1"),
        (NSF, [2], {"num_steps": 0}, r"model\.num_steps: expected at least 1, got 0"),
        (AutoregressiveNSF, [2], {"width": 0}, r"model\.width: expected at least 1, got 0"),
        (AutoregressiveNSF, [2], {"num_bins": 1}, r"model\.num_bins: expected at least 2, got 1"),
        (NSF, [2], {"bound": -1.0}, "bound: expected a positive number, got -1.0"),
        (NSF, [1, 8, 8], {"conditional": True, "num_classes": 3}, r"model\.conditional: NSF takes no labels"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(form, shape, options, words):
    with pytest.raises(UserError, match=words):
        small(form, shape, **options)
