"""RealNVP: a bijection at several scales, a density, and the same density in training and in evaluation."""

import math

import pytest
import torch
from bijection_checks import check_bijection, perturbed
from flow_checks import mass_in_the_plane, mean_log_prob

from lightning_gen.bijections.coupling import Coupling
from lightning_gen.callbacks.ema import EMA
from lightning_gen.data.digits import Digits
from lightning_gen.errors import UserError
from lightning_gen.models import RealNVP
from lightning_gen.models.flows.normalizing_flow import batch_normalizations
from lightning_gen.models.flows.real_nvp import possible_scales
from lightning_gen.noise import IndexedNoise

SMALL = {"width": 4, "num_blocks": 1}


def small(shape, **options):
    return RealNVP(shape, **{**SMALL, "normalization": "ActNorm"} | options)


@pytest.mark.parametrize("spatial_mask", ["checkerboard", "half_split"])
@pytest.mark.parametrize("shape", [[1, 8, 8], [2, 6, 6], [3, 4, 4]])
def test_it_is_a_bijection_at_all_scales(shape, spatial_mask, float64):
    model = perturbed(small(shape, spatial_mask=spatial_mask), 0.1)
    check_bijection(model.bijection, torch.rand(2, *shape))


@pytest.mark.parametrize("shape", [[1, 8, 8], [1, 28, 28], [3, 32, 32]])
def test_every_byte_comes_back_through_the_factored_out_parts(shape):
    model = perturbed(small(shape), 0.05)
    images = torch.randint(0, 256, (3, *shape), dtype=torch.uint8)
    with model.inference():
        z = model.encode(images)
        assert torch.equal(model.decode(z), images)
        # Each part matters: with another in its place the image is another.
        start = 0
        for part in model.latent_shapes.values():
            other = z.clone()
            other[:, start : start + math.prod(part)] = 0
            start += math.prod(part)
            assert not torch.equal(model.decode(other), images)
    assert start == z.shape[1] == math.prod(shape)


def test_the_scales_are_the_papers():
    assert possible_scales((3, 32, 32)) == 4
    assert possible_scales((1, 28, 28)) == 3
    assert possible_scales((1, 8, 8)) == 2
    assert small([3, 32, 32]).latent_shapes == {"z_1": (6, 16, 16), "z_2": (12, 8, 8), "z_3": (24, 4, 4), "z_4": (24, 4, 4)}


def test_each_scale_has_the_papers_couplings_and_twice_the_width_of_the_one_before():
    """Three of pixels and three of channels, which see the squeezed image at the next scale's width; at the last scale four of pixels."""
    networks = [layer.network for layer in small([1, 8, 8]).modules() if isinstance(layer, Coupling)]
    widths = [(network.first.in_channels, network.first.out_channels) for network in networks]
    assert widths == [(1, 4)] * 3 + [(4, 8)] * 3 + [(2, 8)] * 4


def test_a_density_of_pairs_integrates_to_one(float64):
    assert mass_in_the_plane(perturbed(small([2], num_couplings=4), 0.2)) == pytest.approx(1, abs=1e-3)


def test_more_draws_of_the_dequantization_give_a_tighter_bound(tiny):
    model, batch = perturbed(small([1, 8, 8]), 0.1), tiny().batch("test", range(32))
    bounds = [mean_log_prob(model, batch, num_samples) for num_samples in (1, 8, 64)]
    assert bounds == sorted(bounds)
    assert bounds[0] < bounds[-1]


@pytest.mark.parametrize("normalization", ["BatchNormalization", "ActNorm"])
def test_training_and_evaluation_are_the_same_density_once_trained(normalization, fit):
    """Batch statistics against running ones: the gap that blows up where batch normalisation sits inside of a coupling's network."""
    torch.manual_seed(0)
    model, data = small([1, 8, 8], num_bits=4, normalization=normalization, width=8), Digits(batch_size=64)
    fit(model, data, batches=150, max_epochs=10)
    batch = data.batch("validation", range(128))
    evaluated = -mean_log_prob(model, batch) / (64 * math.log(2))
    model.train()
    with torch.no_grad():
        trained = float(model.negative_log_likelihood(batch, IndexedNoise(0, range(128)))["bits_per_dim"])
    assert evaluated < 3.0, "it has learned something: a byte of four bits costs four"
    assert abs(evaluated - trained) < 0.1


def test_averaged_weights_have_running_means_of_their_own(fit):
    """Those of the live weights make another density, here 0.37 bits/dim worse."""
    torch.manual_seed(0)
    model, data = small([1, 8, 8], num_bits=4, normalization="BatchNormalization", width=8), Digits(batch_size=64)
    fit(model, data, batches=150, max_epochs=10, callbacks=[EMA(3000)])
    images = data.batch("validation", range(400))[0]
    bits = []
    with model.inference("ema"):
        for statistics_of_this_batch in (False, True):
            for layer in batch_normalizations(model.bijection):
                layer.training = statistics_of_this_batch
            bits.append(float(-model.log_prob(images, noise=IndexedNoise(0, range(400))).mean() / (64 * math.log(2))))
    assert bits[0] < 3.0
    assert abs(bits[0] - bits[1]) < 0.1


def test_the_penalty_is_on_the_scales_of_the_weight_norms_alone():
    model = small([1, 8, 8])
    plain, penalised = model.configure_optimizers().param_groups
    assert (plain["weight_decay"], penalised["weight_decay"]) == (0.0, 5e-5)
    norms = {id(parameter) for name, parameter in model.named_parameters() if "original0" in name}
    assert {id(parameter) for parameter in penalised["params"]} == norms
    assert len(plain["params"]) + len(norms) == len([*model.parameters()])


def test_vectors_have_an_exact_density_and_images_a_bound():
    assert small([2]).likelihood_kind(16) == "exact"
    assert [small([1, 4, 4]).likelihood_kind(k) for k in (1, 2)] == ["lower bound", "k-sample bound"]
    assert small([1, 4, 4]).answer_options() == {"dequantization": "uniform", "temperature": 1.0}


def test_a_dequantization_that_vectors_would_ignore_is_refused():
    with pytest.raises(UserError, match=r"model\.dequantization: vectors are not dequantized; expected nothing, got VariationalDequ"):
        small([2], dequantization="VariationalDequantization")


@pytest.mark.parametrize(
    ("shape", "option", "value"),
    [([1, 4, 4], "num_couplings", 2), ([2], "num_scales", 1), ([2], "spatial_mask", "half_split")],
)
def test_an_option_that_the_data_would_ignore_is_refused(shape, option, value):
    with pytest.raises(UserError, match=rf"^model\.{option}: (images|vectors) have .*; expected nothing, got {value}$"):
        small(shape, **{option: value})


def test_a_temperature_of_zero_point_five_halves_the_latents():
    warm, cold = (small([1, 4, 4], temperature=temperature) for temperature in (1.0, 0.5))
    noise = IndexedNoise(0, range(3))
    assert torch.equal(cold.draw_latents(noise), 0.5 * warm.draw_latents(noise))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_scales": 3}, r"model\.num_scales: expected 0 for the usual, or 1 to .*, got 3"),
        ({"conditional": True, "num_classes": 3}, r"model\.conditional: RealNVP takes no labels"),
        ({"temperature": 0.0}, r"model\.temperature: expected a positive number, got 0\.0"),
        ({"temperature": math.inf}, r"model\.temperature: expected a positive number, got inf"),
        ({"width": 0}, r"model\.width: expected at least 1, got 0"),
        ({"num_blocks": 0}, r"model\.num_blocks: expected at least 1, got 0"),
        ({"num_scales": -1}, r"model\.num_scales: expected 0 .*, or 1 to .*, got -1"),
        ({"spatial_mask": "half"}, r"model\.spatial_mask: expected checkerboard or half_split"),
        ({"dequantization": "Uniform"}, r"model\.dequantization: unknown class"),
        ({"dequantization": "NoDequantization"}, r"model\.dequantization: unknown class"),
        (
            {"dequantization": {"class_path": "VariationalDequantization", "dropout": 2.0}},
            r"dropout: expected a number from 0 to below 1, got 2",
        ),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(options, message):
    with pytest.raises(UserError, match=message):
        small([1, 6, 6], **options)
