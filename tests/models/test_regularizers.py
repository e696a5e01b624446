"""Penalties on a discriminator's gradient: hand-computed where it is linear, by finite differences where it is not, and in bfloat16."""

import math

import pytest
import torch
from adversarial_checks import FAKE, MLP, REAL, SHAPE, batch, judged, noise
from torch import nn

from lightning_gen.errors import UserError
from lightning_gen.models import DRAGAN, WGANGP, RelativisticGAN
from lightning_gen.models.gans.dragan import global_deviation
from lightning_gen.models.gans.regularizers import between, gradient_penalty, input_gradients, squared_gradient_norm
from lightning_gen.nn.adversarial import CNNDiscriminator, MLPDiscriminator, R3GANDiscriminator, ResNetDiscriminator
from lightning_gen.nn.adversarial.base import Judgement
from lightning_gen.nn.base import LabelKind

SMOOTH = {"hidden": [9, 7], "activation": "tanh"}


class Quadratic(nn.Module):
    """The logit a |x|^2 / 2, whose gradient is a x."""

    def __init__(self, a=2.0):
        super().__init__()
        self.a = nn.Parameter(torch.tensor(a))

    def forward(self, x, labels=None):
        return Judgement(self.a * x.flatten(1).square().sum(1, keepdim=True) / 2, x.flatten(1))


def images():
    """Two images of norms 5 and 13."""
    x = torch.zeros(2, 1, 2, 2)
    x[0, 0, 0], x[1, 0, 1] = torch.tensor([3.0, 4.0]), torch.tensor([5.0, 12.0])
    return x


def test_the_squared_norm_is_the_mean_over_images_of_the_sum_over_pixels():
    assert float(squared_gradient_norm(Quadratic(), images(), None)) == pytest.approx((10**2 + 26**2) / 2)


def test_the_gradient_penalty_is_the_mean_square_of_what_the_norm_lacks_to_one():
    assert float(gradient_penalty(Quadratic(), images(), None)) == pytest.approx((9**2 + 25**2) / 2)
    assert float(gradient_penalty(Quadratic(0.1), images(), None)) == pytest.approx((0.5**2 + 0.3**2) / 2)


def test_a_penalty_teaches_the_discriminator_and_not_what_made_the_images():
    network, x = Quadratic(), images().requires_grad_()
    gradient_penalty(network, x * 1, None).backward()
    assert float(network.a.grad) == pytest.approx((2 * 9 * 5 + 2 * 25 * 13) / 2)
    assert x.grad is None


def slopes(network, x, labels, step=1e-5):
    """The gradient of each logit by central differences."""
    out = torch.zeros(x.shape[0], x[0].numel())
    for place in range(x[0].numel()):
        move = torch.zeros(x[0].numel())
        move[place] = step
        ends = [network(x + sign * move.view(x[0].shape), labels).logits for sign in (1, -1)]
        out[:, place] = ((ends[0] - ends[1]) / (2 * step))[:, 0]
    return out


@pytest.mark.parametrize(
    "make",
    [
        lambda kind: MLPDiscriminator((2, 4, 4), kind, **SMOOTH),
        lambda kind: ResNetDiscriminator((2, 4, 4), kind, width=4, normalization="layer"),
        lambda kind: CNNDiscriminator((2, 4, 4), kind, width=4),
        lambda kind: R3GANDiscriminator((2, 4, 4), kind, width=4, group_width=4),
    ],
    ids=["mlp", "resnet", "cnn", "r3gan"],
)
@pytest.mark.parametrize("kind", [LabelKind(), LabelKind(3)], ids=["plain", "conditional"])
def test_the_gradients_are_those_of_finite_differences(make, kind, float64):
    network, x = make(kind), torch.randn(3, 2, 4, 4)
    labels = torch.tensor([0, 2, 1]) if any(kind) else None
    with torch.no_grad():
        expected = slopes(network, x, labels)
    torch.testing.assert_close(input_gradients(network, x, labels), expected, rtol=1e-4, atol=1e-7)
    torch.testing.assert_close(gradient_penalty(network, x, labels), (expected.norm(dim=1) - 1).square().mean(), rtol=1e-4, atol=0)


def test_the_penaltys_own_gradient_is_that_of_finite_differences(float64):
    network, x = MLPDiscriminator((1, 2, 2), **SMOOTH), torch.randn(3, 1, 2, 2)
    gradient_penalty(network, x, None).backward()
    step = 1e-5
    for parameter in network.parameters():
        place = parameter.detach().view(-1)
        value, ends = float(place[0]), []
        for sign in (1, -1):
            place[0] = value + sign * step
            ends.append(float(gradient_penalty(network, x, None)))
        place[0] = value
        found = 0.0 if parameter.grad is None else float(parameter.grad.flatten()[0])
        assert found == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=1e-4, abs=1e-7)


@pytest.mark.parametrize("guard", [torch.no_grad, torch.inference_mode])
def test_a_penalty_can_be_had_where_nothing_is_differentiated(guard):
    """As Lightning validates; labels and images are made in there too."""
    network = ResNetDiscriminator((1, 8, 8), LabelKind(3), width=4)
    with guard():
        x, labels = torch.randn(3, 1, 8, 8), torch.tensor([0, 2, 1])
        found = gradient_penalty(network, x, labels)
        x, labels = x.clone(), labels.clone()
    torch.testing.assert_close(found, gradient_penalty(network, x.clone(), labels.clone()))


@pytest.mark.parametrize("cls", [WGANGP, DRAGAN, RelativisticGAN])
def test_a_model_with_a_penalty_is_validated(cls, tiny, fit):
    trainer = fit(cls([1, 8, 8], latent_dim=2, **MLP), tiny(), batches=1, limit_val_batches=1)
    assert trainer.callback_metrics["val/discriminator_loss"].isfinite()


@pytest.mark.parametrize(
    "make", [lambda: ResNetDiscriminator((3, 8, 8), width=16), lambda: MLPDiscriminator((3, 8, 8))], ids=["resnet", "mlp"]
)
def test_in_bfloat16_a_penalty_and_its_gradient_are_within_some_per_cent_of_float64(make):
    network, x = make(), torch.randn(16, 3, 8, 8)
    values, directions = [], []
    for dtype in (torch.float64, torch.float32):
        network.to(dtype).zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.float32):
            penalty = gradient_penalty(network, x.to(dtype), None)
        penalty.backward()
        assert penalty.dtype == dtype
        values.append(float(penalty))
        directions.append(torch.cat([p.grad.flatten().double() for p in network.parameters() if p.grad is not None]))
    assert values[1] == pytest.approx(values[0], rel=0.03)
    assert float(torch.cosine_similarity(*directions, dim=0)) > 0.99


@pytest.mark.parametrize("cls", [WGANGP, DRAGAN, RelativisticGAN])
def test_in_bfloat16_a_model_with_a_penalty_has_the_losses_of_float32_within_some_per_cent(cls):
    networks = {name: {"class_path": f"ResNet{name.title()}", "width": 16} for name in ("generator", "discriminator")}
    model, whole = cls([1, 8, 8], latent_dim=4, **networks), (torch.randint(0, 256, (8, 1, 8, 8), dtype=torch.uint8), torch.zeros(8))
    with torch.no_grad():
        model.discriminator.head.weight.mul_(10)  # far from norm 1, near which the square of a difference is ill-conditioned
    found = []
    for enabled in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            terms = model.discriminator_loss(whole, noise(8))
        assert all(value.dtype == torch.float32 for value in terms.values())
        found.append({name: float(value) for name, value in terms.items() if "accuracy" not in name})
    assert found[1] == pytest.approx(found[0], rel=0.05, abs=0.05)


def test_points_between_pairs_lie_at_one_number_per_pair(float64):
    real, fake, u = torch.randn(3, *SHAPE), torch.randn(3, *SHAPE), torch.tensor([[0.0], [0.25], [1.0]])
    expected = torch.stack([fake[0], real[1] / 4 + fake[1] * 3 / 4, real[2]])
    torch.testing.assert_close(between(real, fake, u), expected)
    assert between(real, fake.bfloat16(), u).dtype == torch.float64


class Watched(nn.Module):
    """Notes at which points it is asked."""

    def __init__(self):
        super().__init__()
        self.network, self.points = MLPDiscriminator(SHAPE, **SMOOTH), []

    def forward(self, x, labels=None):
        self.points.append(x.detach().clone())
        return self.network(x, labels)


def penalised(cls, **options):
    """The terms of a model at given verdicts, those verdicts, and the points of its penalties with their gradients."""
    model = cls(list(SHAPE), latent_dim=2, **MLP, **options)
    model.discriminator, real, fake = Watched(), judged(REAL), judged(FAKE)
    terms = model.discriminator_terms(real, fake, noise())
    gradients = [input_gradients(model.discriminator.network, x, None) for x in model.discriminator.points]
    return terms, real, fake, model.discriminator.points, gradients


@pytest.mark.parametrize("weight", [10.0, 0.5])
def test_wgan_gp_weights_the_penalty_at_points_between_each_real_image_and_its_generated_one(weight):
    terms, real, fake, (points,), (gradient,) = penalised(WGANGP, penalty_weight=weight)
    u = noise().uniform("penalty", (1,)).view(3, 1, 1, 1)
    torch.testing.assert_close(points, u * real.x + (1 - u) * fake.x)
    assert float(terms["gradient_penalty"]) == pytest.approx(weight * float((gradient.norm(dim=1) - 1).square().mean()))
    assert {name: float(value) for name, value in terms.items() if name != "gradient_penalty"} == pytest.approx(
        {"discriminator_real": 1 / 3, "discriminator_fake": 2.5 / 3}
    )


@pytest.mark.parametrize("weight", [10.0, 0.5])
def test_dragan_weights_the_penalty_at_real_images_plus_half_a_deviation_of_uniform_noise(weight):
    terms, real, _, (points,), (gradient,) = penalised(DRAGAN, penalty_weight=weight)
    deviation = math.sqrt(sum((value - float(real.x.mean())) ** 2 for value in real.x.flatten().tolist()) / real.x.numel())
    torch.testing.assert_close(points, real.x + deviation / 2 * noise().uniform("penalty", SHAPE))
    assert float(terms["gradient_penalty"]) == pytest.approx(weight * float((gradient.norm(dim=1) - 1).square().mean()))
    cross_entropies = [sum(math.log1p(math.exp(sign * logit)) for logit in logits) / 3 for sign, logits in ((-1, REAL), (1, FAKE))]
    assert [float(terms[f"discriminator_{which}"]) for which in ("real", "fake")] == pytest.approx(cross_entropies)


def test_the_deviation_is_that_of_all_values_of_the_batch(float64):
    x = torch.randn(4, *SHAPE) * 3 + 1
    torch.testing.assert_close(global_deviation(x), x.std(correction=0))


@pytest.mark.parametrize("gamma", [0.05, 3.0])
def test_the_relativistic_penalties_are_half_gamma_times_the_squared_norms_on_real_and_on_generated_images(gamma):
    terms, real, fake, points, gradients = penalised(RelativisticGAN, gamma=gamma)
    for name, seen, x, gradient in zip(("r1", "r2"), (real, fake), points, gradients, strict=True):
        assert torch.equal(x, seen.x)
        assert float(terms[name]) == pytest.approx(gamma / 2 * float(gradient.square().sum(1).mean()))


def test_without_gamma_nothing_is_penalised_and_nothing_computed():
    terms, _, _, points, _ = penalised(RelativisticGAN, gamma=0.0)
    assert ([*terms], points) == (["discriminator_relative"], [])


@pytest.mark.parametrize("cls", [WGANGP, DRAGAN])
def test_without_a_weight_no_penalty_is_computed_and_no_rule_of_it_told(cls):
    terms, _, _, points, _ = penalised(cls, penalty_weight=0.0)
    assert ("gradient_penalty" in terms, points) == (False, [])
    batch_norm = {"generator": "DCGANGenerator", "discriminator": "DCGANDiscriminator"}
    lines = [any("penalty" in line for line in cls([1, 8, 8], penalty_weight=w, **batch_norm).recipe_warnings()) for w in (1.0, 0.0)]
    assert lines == [True, False]


def test_dragans_own_discriminator_keeps_its_rule():
    assert not DRAGAN([1, 8, 8]).recipe_warnings()


@pytest.mark.parametrize(("cls", "off"), [(WGANGP, "penalty_weight"), (DRAGAN, "penalty_weight"), (RelativisticGAN, "gamma")])
def test_a_penalty_and_compilation_exclude_each_other(cls, off, monkeypatch):
    monkeypatch.setattr(nn.Module, "compile", lambda self: None)
    with pytest.raises(UserError, match=rf"^compile: {cls.__name__} differentiates its gradient penalty twice"):
        cls(list(SHAPE), latent_dim=2, **MLP).compile_networks()
    cls(list(SHAPE), latent_dim=2, **MLP, **{off: 0.0}).compile_networks()


def test_penalties_are_of_the_images_that_the_discriminator_is_shown():
    """The augmented ones: D is asked for nothing that it never sees."""
    model = RelativisticGAN(list(SHAPE), latent_dim=2, **MLP, augmentation=["cutout"])
    model.discriminator = Watched()
    model.discriminator_loss(batch(), noise())
    real, fake, *penalised_at = model.discriminator.points
    assert all(map(torch.equal, penalised_at, (real, fake)))
    assert (real.flatten(1) == 0).any(1).all()
