"""Dequantizations: q(u|x) is a density in the cell, its bound is one on the mass of the level, and masses are the histogram's."""

import math

import pytest
import torch

from lightning_gen import images as pixels
from lightning_gen.errors import UserError
from lightning_gen.models import MixtureCDFFlow, RealNVP
from lightning_gen.models.flows.variational_dequantization import VariationalDequantization
from lightning_gen.noise import IndexedNoise, Noise

SMALL = {"width": 4, "num_blocks": 1, "num_components": 2, "num_heads": 2, "dropout": 0.0, "context_width": 4, "context_blocks": 1}
VARIATIONAL = {"class_path": "VariationalDequantization", "init_args": SMALL}
TWO_PIXELS = (1, 1, 2)


@pytest.fixture(autouse=True)
def wide_default(float64):
    """float64 as the default type."""


class Given(Noise):
    """Noise that is given."""

    def __init__(self, values):
        super().__init__()
        self.values = values

    def __len__(self):
        return len(self.values)

    def normal(self, name, shape):
        return self.values

    uniform = normal


def perturbed(module, scale=0.3):
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(scale * torch.randn_like(parameter))
    return module


def variational(data_shape=TWO_PIXELS, num_bits=2, **options):
    return perturbed(VariationalDequantization(data_shape, num_bits, **(SMALL | options)), 0.15)


def log_q_of(dequantization, images, u):
    """log q(u|x) of any u, by the way back to the normal noise."""
    context = dequantization.context(images)
    epsilon = dequantization.split.inverse(dequantization.flow.inverse(u, context))
    y, log_q = dequantization(images, Given(epsilon))
    torch.testing.assert_close(y, (pixels.to_levels(images, dequantization.num_bits) + u) / 2**dequantization.num_bits)
    return log_q


def images_of(levels, data_shape, num_bits):
    return pixels.from_levels(torch.tensor(levels).view(-1, *data_shape), num_bits)


@pytest.mark.parametrize(("data_shape", "num_couplings"), [((1, 1, 1), 0), (TWO_PIXELS, 2), (TWO_PIXELS, 0)])
def test_q_is_a_density_in_the_cell(data_shape, num_couplings):
    dequantization = variational(data_shape, num_couplings=num_couplings)
    size = math.prod(data_shape)
    t = torch.cartesian_prod(*[torch.linspace(-15, 15, 101)] * size).view(-1, *data_shape)
    u, volume = torch.sigmoid(t), (0.3 * torch.sigmoid(t) * torch.sigmoid(-t)).flatten(1).prod(1)
    images = images_of([3, 1][:size], data_shape, 2).expand(len(u), -1, -1, -1)
    with torch.no_grad():
        mass = (log_q_of(dequantization, images, u).exp() * volume).sum()
    assert abs(mass.item() - 1) < 1e-3


def test_log_q_is_that_of_the_noise_less_the_whole_jacobian():
    shape = (2, 2, 4)
    dequantization = variational(shape, num_bits=8)
    epsilon, images = torch.randn(2, *shape), torch.randint(0, 256, (2, *shape), dtype=torch.uint8)
    _, log_q = dequantization(images, Given(epsilon))
    for item in range(2):

        def u(values, item=item):
            return 256 * dequantization(images[item : item + 1], Given(values.view(1, *shape)))[0].flatten()

        jacobian = torch.autograd.functional.jacobian(u, epsilon[item].flatten())
        log_noise = torch.distributions.Normal(0.0, 1.0).log_prob(epsilon[item]).sum()
        torch.testing.assert_close(log_q[item], log_noise - torch.linalg.slogdet(jacobian).logabsdet, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("num_bits", [1, 5, 8])
def test_what_is_added_stays_in_the_cell_and_depends_on_the_image(num_bits):
    shape = (3, 4, 4)
    dequantization = variational(shape, num_bits)
    images = pixels.reduce_bits(torch.randint(0, 256, (8, *shape), dtype=torch.uint8), num_bits)
    noise = IndexedNoise(0, range(8))
    y, _ = dequantization(images, noise)
    assert torch.equal(pixels.quantize(y, num_bits), images)
    u, other = (2**num_bits * dequantization(chosen, noise)[0] % 1 for chosen in (images, images.flip(0)))
    assert (u != other).any()


def mass_by_integration(model, images, points=60):
    """The integral of the flow's density over the cells of two-pixel images, ``(B,)``."""
    axis = (torch.arange(points) + 0.5) / points
    u = torch.cartesian_prod(axis, axis).view(-1, *TWO_PIXELS)
    masses = []
    for levels in pixels.to_levels(images, model.num_bits):
        z, log_det = model.bijection((levels + u) / 2**model.num_bits)
        masses.append((model.prior().log_prob(z) + log_det).exp().mean() / 2 ** (2 * model.num_bits))
    return torch.stack(masses)


@pytest.mark.parametrize("dequantization", ["UniformDequantization", VARIATIONAL])
def test_the_importance_weighted_estimate_is_of_the_mass_whatever_the_dequantization(dequantization):
    model = perturbed(MixtureCDFFlow(list(TWO_PIXELS), 2, [6], dequantization=dequantization, num_bits=1), 0.15).eval()
    images, count = images_of([[0, 1], [1, 1]], TWO_PIXELS, 1), 500
    with torch.no_grad():
        mass = mass_by_integration(model, images)
        for image, expected in zip(images, mass, strict=True):
            repeated = image.expand(count, -1, -1, -1)
            weights = model.log_prob(repeated, noise=IndexedNoise(0, range(count))).exp()
            assert abs(weights.mean() - expected) < 4 * weights.std() / count**0.5
            assert weights.log().mean() < expected.log()  # of one sample, a lower bound on average
            many = model.log_prob(image.unsqueeze(0), noise=IndexedNoise(0, range(1)), num_samples=100)
            assert abs(many.exp() - expected) < 4 * weights.std() / 100**0.5


def test_of_several_draws_the_weights_are_averaged_and_not_their_logarithms():
    """The mean of k weights has the mass for its expectation at every k; their geometric mean is too small."""
    model = perturbed(MixtureCDFFlow(list(TWO_PIXELS), 2, [6], num_bits=1), 0.8).eval()
    count = 2000
    repeated = images_of([[0, 1]], TWO_PIXELS, 1).expand(count, -1, -1, -1)
    with torch.no_grad():
        (mass,) = mass_by_integration(model, repeated[:1])
        single, of_four = (model.log_prob(repeated, noise=IndexedNoise(0, range(count)), num_samples=k) for k in (1, 4))
    assert single.std() > 0.5, "weights differ enough to tell"
    assert abs(of_four.exp().mean() - mass) < 4 * of_four.exp().std() / count**0.5
    assert of_four.mean() > single.mean() + 0.1


HISTOGRAM = [0.1, 0.4, 0.2, 0.3]
ONE_PIXEL = {"class_path": "VariationalDequantization", "num_couplings": 0, "context_width": 8, "context_blocks": 0}


@pytest.mark.parametrize("dequantization", ["UniformDequantization", ONE_PIXEL])
def test_masses_of_a_trained_flow_are_the_histogram_of_tiny_images(dequantization):
    model = MixtureCDFFlow([1, 1, 1], 12, dequantization=dequantization, num_bits=2, learning_rate=0.02)
    levels = torch.repeat_interleave(torch.arange(4), torch.tensor([round(100 * share) for share in HISTOGRAM]))
    batch = images_of(levels.tolist(), (1, 1, 1), 2), torch.zeros(100)
    model.initialize_from_data(batch, IndexedNoise(0, range(100)))
    optimizer = model.configure_optimizers()
    for step in range(200):
        optimizer.zero_grad()
        model.negative_log_likelihood(batch, IndexedNoise(step, range(100)))["loss"].backward()
        optimizer.step()
    y = (torch.arange(4000) + 0.5).view(-1, 1, 1, 1) / 4000
    with torch.no_grad():
        z, log_det = model.eval().bijection(y)
        masses = (model.prior().log_prob(z) + log_det).exp().view(4, 1000).mean(1) / 4
    torch.testing.assert_close(masses, torch.tensor(HISTOGRAM), rtol=0, atol=0.04)
    assert 0.95 < masses.sum() < 1 + 1e-6


@pytest.mark.parametrize("num_components", [1, 5])
def test_masses_of_all_levels_and_what_lies_outside_of_them_sum_to_one(num_components):
    """On [0, 1] alone a flow has a little less: what its logit leaves outside."""
    model = perturbed(MixtureCDFFlow([1, 1, 1], num_components, num_bits=2))
    margin = 0.05 / 0.9
    t = torch.linspace(-30, 30, 20001)
    y = (1 + 2 * margin) * torch.sigmoid(t) - margin
    with torch.no_grad():
        z, log_det = model.bijection(y.view(-1, 1, 1, 1))
        values = (model.prior().log_prob(z) + log_det).exp() * (1 + 2 * margin) * torch.sigmoid(t) * torch.sigmoid(-t)
    inside = (y > 0) & (y < 1)
    assert abs(torch.trapezoid(values, t).item() - 1) < 1e-3
    assert torch.trapezoid(values * inside, t) <= 1


def test_any_flow_takes_it_and_initialises_and_trains_all_of_it():
    model = RealNVP([1, 4, 4], width=4, num_blocks=1, normalization="ActNorm", dequantization=VARIATIONAL)
    images = torch.randint(0, 256, (6, 1, 4, 4), dtype=torch.uint8)
    noise = IndexedNoise(0, range(6))
    model.initialize_from_data((images, torch.zeros(6)), noise)
    shifts = {name: value for name, value in model.dequantization.named_parameters() if name.endswith("shift")}
    assert shifts
    assert all(value.any() for value in shifts.values())
    perturbed(model, 0.1).negative_log_likelihood((images, torch.zeros(6)), noise)["loss"].backward()
    assert not [name for name, parameter in model.named_parameters() if parameter.grad is None or not parameter.grad.abs().any()]
    assert model.answer_options()["dequantization"] == "variational"


def test_averaged_weights_have_a_dequantization_of_their_own():
    model = perturbed(RealNVP([1, 4, 4], width=4, num_blocks=1, normalization="ActNorm", dequantization=VARIATIONAL), 0.1)
    images, noise = torch.randint(0, 256, (6, 1, 4, 4), dtype=torch.uint8), IndexedNoise(0, range(6))
    model.create_ema()
    values = []
    for moved in (0.0, 1.0):
        perturbed(model.dequantization, moved)
        for weights in ("ema", "live"):
            with model.inference(weights):
                values.append(model.log_prob(images, noise=noise))
    assert torch.equal(values[0], values[2])
    assert not torch.equal(values[1], values[3])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"data_shape": (1, 3, 3)}, "even width, got"),
        ({"num_couplings": -1}, r"num_couplings: expected at least 0, got -1"),
    ],
)
def test_what_cannot_be_dequantized_is_refused(options, message):
    with pytest.raises(UserError, match=message):
        variational(**options)
