"""Glow is a density at every size, its class enters the top prior and nothing else, and bytes come back from all of their z."""

import math

import pytest
import torch
from torch.distributions import Normal

from lightning_gen.bijections.scaling import LearnedNormal
from lightning_gen.errors import UserError
from lightning_gen.images import dequantize
from lightning_gen.models import Glow
from lightning_gen.noise import IndexedNoise

SMALL = {"num_steps": 2, "width": 4}
LABELS = {"num_classes": 4, "conditional": True}


def perturbed(model, scale=0.1):
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(scale * torch.randn_like(parameter))
    return model


def glow(shape=(1, 4, 4), **options):
    return perturbed(Glow(list(shape), **(SMALL | options))).double().eval()


def images(shape, count=3):
    return torch.randint(0, 256, (count, *shape), dtype=torch.uint8)


@pytest.fixture(autouse=True)
def wide(deterministic):
    torch.set_default_dtype(torch.float64)


@pytest.mark.parametrize("options", [{}, {"coupling": "additive"}, {"convolution": "lu"}, LABELS])
def test_the_log_determinant_of_several_scales_is_that_of_the_whole_jacobian(options):
    model = glow((1, 4, 4), num_scales=2, **options)
    y = torch.rand(2, 1, 4, 4)
    context = model.context(torch.tensor([1, 3])) if model.conditional else None
    z, log_det = model.bijection(y, context)
    for item in range(2):
        given = None if context is None else context[item : item + 1]
        jacobian = torch.autograd.functional.jacobian(
            lambda v, given=given: model.bijection(v.view(1, 1, 4, 4), given)[0].flatten(), y[item].flatten()
        )
        torch.testing.assert_close(log_det[item], torch.linalg.slogdet(jacobian).logabsdet, rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(model.bijection.inverse(z, context), y, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize(
    ("shape", "scales"), [((1, 8, 8), 2), ((1, 28, 28), 2), ((3, 32, 32), 3), ((3, 64, 64), 4)], ids=lambda value: str(value)
)
def test_bytes_come_back_from_all_of_their_latents_and_no_number_is_lost(shape, scales):
    model = glow(shape)
    x = images(shape, 2)
    with torch.no_grad():
        z = model.encode(x)
        assert torch.equal(model.decode(z), x)
    assert len(model.latent_shapes) == scales
    assert z.shape == (2, math.prod(shape)) == (2, sum(math.prod(part) for part in model.latent_shapes.values()))


def test_in_float32_bytes_come_back_too():
    torch.set_default_dtype(torch.float32)
    model, x = glow((3, 16, 16), num_steps=8).float(), images((3, 16, 16), 8)
    with model.inference():
        assert torch.equal(model.decode(model.encode(x)), x)


def test_a_density_over_two_scales_is_the_sum_of_its_priors():
    """log p(y) of one step per scale, put together by hand: Glow's split prior and top prior as normals of the intermediate values."""
    model = glow((1, 4, 4), num_scales=2, num_steps=1)
    y = torch.rand(2, 1, 4, 4)
    _, first = model.bijection.bijections
    squeeze, norm, mix, coupling, split = first.bijections
    h, log_det = model.bijection.bijections[0](y)[0], torch.zeros(2)
    for layer in (squeeze, norm, mix, coupling):
        h, term = layer(h)
        log_det = log_det + term
    rest, early = h[:, :2], h[:, 2:]
    mean, log_scale = split.network(rest).chunk(2, dim=1)
    log_prob = Normal(mean, log_scale.exp()).log_prob(early).flatten(1).sum(1)
    *layers, top, _ = split.rest.bijections
    for layer in layers:
        rest, term = layer(rest)
        log_det = log_det + term
    mean, log_scale = top.mean_and_log_scale(None)
    log_prob = log_prob + Normal(mean, log_scale.exp()).log_prob(rest).flatten(1).sum(1) + log_det
    z, total = model.bijection(y)
    torch.testing.assert_close(model.prior().log_prob(z) + total, log_prob)


def test_without_training_it_is_a_standard_normal_of_rotated_centred_pixels():
    """Additive couplings start as the identity, and convolutions as rotations."""
    model = Glow([1, 8, 8], **SMALL, coupling="additive").double()
    y = torch.rand(3, 1, 8, 8)
    z, log_det = model.bijection(y)
    torch.testing.assert_close(z.norm(dim=1), (y - 0.5).flatten(1).norm(dim=1))
    assert log_det.abs().max() < 1e-10


def test_the_affine_couplings_start_at_the_scale_that_the_authors_gave_them():
    model = Glow([1, 8, 8], num_steps=1, width=4, num_scales=1).double()
    log_det = model.bijection(torch.rand(3, 1, 8, 8))[1]
    torch.testing.assert_close(log_det, torch.full((3,), 32 * math.log(1 / (1 + math.exp(-2)))))


def test_a_class_moves_mean_and_scale_of_the_top_prior_and_nothing_else():
    model = glow((1, 8, 8), **LABELS)
    x = images((1, 8, 8))
    labels = torch.tensor([0, 1, 2])
    with torch.no_grad():
        one, other = model.encode(x, labels=labels), model.encode(x, labels=(labels + 1) % 4)
        top = math.prod(model.latent_shapes["z_2"])
        assert torch.equal(one[:, :-top], other[:, :-top])
        assert (one[:, -top:] != other[:, -top:]).all()
        first, second = (model.log_prob(x, labels=chosen, noise=IndexedNoise(0, range(3))) for chosen in (labels, (labels + 1) % 4))
        assert (first != second).all()
    readers = [name for name, layer in model.named_modules() if isinstance(layer, LearnedNormal) and layer.slope is not None]
    assert len(readers) == 1


def test_averages_of_a_conditional_model_have_their_own_vectors_of_classes():
    model = glow((1, 8, 8), **LABELS)
    model.create_ema()
    x, labels = images((1, 8, 8)), torch.tensor([0, 1, 2])
    with model.inference("ema"):
        before = model.encode(x, labels=labels)
    perturbed(model.embedding, 1.0)
    with model.inference("ema"):
        assert torch.equal(model.encode(x, labels=labels), before)
    with model.inference("live"):
        assert not torch.equal(model.encode(x, labels=labels), before)


def test_a_lower_temperature_draws_latents_nearer_to_their_mean():
    noise = IndexedNoise(0, range(4))
    warm, cool = (Glow([1, 8, 8], **SMALL, temperature=temperature).draw_latents(noise) for temperature in (1.0, 0.7))
    torch.testing.assert_close(cool, 0.7 * warm)


def test_after_initialisation_every_step_starts_from_standardised_activations():
    model = Glow([1, 8, 8], **SMALL).double()
    batch = (images((1, 8, 8), 64), None)
    noise = IndexedNoise(0, range(64))
    with torch.no_grad():
        model.initialize_from_data(batch, noise)
    inner = model.bijection.bijections[1].bijections
    x = inner[0](dequantize(batch[0], noise) - 0.5)[0]
    for norm, mix, coupling in (inner[1:4], inner[4:7]):
        x = norm(x)[0]
        rows = x.movedim(1, -1).flatten(0, -2)
        torch.testing.assert_close(rows.mean(0), torch.zeros(4), rtol=0, atol=1e-10)
        torch.testing.assert_close(rows.std(0, correction=0), torch.ones(4), rtol=1e-4, atol=0)
        x = coupling(mix(x)[0])[0]


def test_it_is_trained_by_adamax():
    assert isinstance(Glow([1, 8, 8], **SMALL).configure_optimizers(), torch.optim.Adamax)


@pytest.mark.parametrize(
    ("shape", "options", "message"),
    [
        ([6], {}, r"model\.data_shape: Glow needs images \[C, H, W\], got \[6\]; RealNVP and NICE take vectors"),
        ([1, 28, 28], {"num_scales": 3}, r"model\.num_scales: expected 0 for the usual, or 1 to 2 for images \[1, 28, 28\], got 3"),
        ([1, 8, 8], {"num_steps": 0}, r"model\.num_steps: expected at least 1, got 0"),
        ([1, 8, 8], {"num_scales": -1}, r"model\.num_scales: expected 0 .*, or 1 to 3 .*, got -1"),
        ([1, 8, 8], {"coupling": "cubic"}, r"model\.coupling: expected affine or additive"),
        ([1, 8, 8], {"convolution": "qr"}, r"model\.convolution: expected plain or lu"),
    ],
)
def test_what_it_cannot_be_is_refused(shape, options, message):
    with pytest.raises(UserError, match=message):
        Glow(shape, **options)
