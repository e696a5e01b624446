"""The contractive autoencoder: its penalty is the Jacobian's squared Frobenius norm, exactly or without bias, and so is its gradient."""

import math

import pytest
import torch

from lightning_gen.errors import UserError
from lightning_gen.models import ContractiveAutoencoder
from lightning_gen.noise import IndexedNoise

CONV = {"encoder": {"class_path": "ConvEncoder", "width": 2}, "decoder": {"class_path": "ConvDecoder", "width": 2}}
MLP = {"encoder": {"class_path": "MLPEncoder", "hidden": [7, 6]}, "decoder": {"class_path": "MLPDecoder", "hidden": [7]}}
LABELS = {"num_classes": 4, "conditional": True}


def build(networks=MLP, **options):
    return ContractiveAutoencoder([1, 8, 8], latent_dim=3, **{**networks, **options}).double()


def frobenius(model, x, labels=None):
    """By the Jacobian of every image alone."""
    norms = []
    for i, image in enumerate(x):
        label = None if labels is None else labels[i : i + 1]
        jacobian = torch.func.jacrev(lambda image, label=label: model.encoder(image.unsqueeze(0), label).squeeze(0))(image)
        norms.append(jacobian.square().sum())
    return torch.stack(norms)


def penalty(model, images, labels=None, noise=None):
    return model.objective(images, labels, noise or IndexedNoise(0, range(len(images))))["penalty"]


@pytest.fixture
def images(tiny, float64):
    return tiny().batch("test", range(5))[0]


@pytest.mark.parametrize("options", [MLP, CONV, {**MLP, **LABELS}], ids=["mlp", "conv", "labels"])
def test_the_exact_penalty_is_the_squared_norm_of_the_jacobian(options, images):
    model = build(options)
    labels = torch.tensor([0, 3, 1, 2, 2]) if model.conditional else None
    torch.testing.assert_close(penalty(model, images, labels), frobenius(model, images / 255, labels).mean(), rtol=1e-12, atol=0)


def test_the_gradient_of_the_exact_penalty_is_that_of_finite_differences(images):
    model = build()
    weight = model.encoder.layers[2].weight
    (gradient,) = torch.autograd.grad(penalty(model, images), weight)
    step = 1e-6
    for row, column in [(0, 0), (3, 5), (5, 6)]:
        with torch.no_grad():
            weight[row, column] += step
            above = penalty(model, images)
            weight[row, column] -= 2 * step
            below = penalty(model, images)
            weight[row, column] += step
        assert gradient[row, column].item() == pytest.approx((above - below).item() / (2 * step), rel=1e-6)


@pytest.mark.parametrize("networks", [MLP, CONV], ids=["mlp", "conv"])
def test_the_projected_penalty_and_its_gradient_are_right_on_average(networks, images):
    """Within 5 standard errors over the projections of one image."""
    count = 1000 if networks is MLP else 200
    exact, projected = build(networks), build(networks, exact_up_to=2)
    projected.load_state_dict(exact.state_dict())
    parameter = first_bias(projected)
    values = projected_penalties(projected, images[:1].expand(count, -1, -1, -1))
    truth = penalty(exact, images[:1])
    assert within(values.detach(), truth.item())
    assert values.std() > 0.01 * truth
    one = first_bias(exact)
    (expected,) = torch.autograd.grad(truth, one)
    gradients = torch.stack([torch.autograd.grad(value, parameter, retain_graph=True)[0][0] for value in values[:200]])
    assert within(gradients, expected[0].item())


def first_bias(model):
    return next(parameter for parameter in model.encoder.parameters() if parameter.ndim == 1)


def projected_penalties(model, images):
    x = images / 255
    h, pullback = torch.func.vjp(model.encoder, x)
    return model.penalty(h, pullback, IndexedNoise(0, range(len(x))))


def within(values, truth):
    return abs(values.mean().item() - truth) < 5 * values.std().item() / math.sqrt(len(values))


@pytest.mark.parametrize(("limit", "is_exact"), [(3, True), (2, False)])
def test_the_limit_decides_which_of_the_two_it_is(limit, is_exact, images):
    model = build(exact_up_to=limit)
    one, other = (penalty(model, images, noise=IndexedNoise(seed, range(5))) for seed in (0, 1))
    assert (one == other) == is_exact


def test_the_loss_is_error_plus_weight_times_penalty_and_needs_no_surrounding_gradient(images):
    model = build(weight=0.7)
    with torch.no_grad():
        terms = model.objective(images, None, IndexedNoise(0, range(5)))
    torch.testing.assert_close(terms["loss"], terms["squared_error"] + 0.7 * terms["penalty"])


def test_training_makes_the_code_change_less(tiny, fit):
    norms = {}
    for weight in (0.0, 1.0):
        torch.manual_seed(0)
        model = ContractiveAutoencoder([1, 8, 8], latent_dim=3, weight=weight, **MLP)
        fit(model, tiny(), batches=60, max_epochs=20)
        norms[weight] = frobenius(model, tiny().batch("test", range(20))[0] / 255).mean().item()
    assert norms[1.0] < 0.5 * norms[0.0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"encoder": {"class_path": "MLPEncoder", "activation": "relu"}},
            r"model\.encoder\.activation: .* expected tanh or silu",
        ),
        ({"weight": -1.0}, r"model\.weight: expected at least 0, got -1\.0"),
        ({"exact_up_to": -1}, r"model\.exact_up_to: expected at least 0, got -1"),
    ],
)
def test_what_has_no_penalty_is_refused_by_name(options, message):
    with pytest.raises(UserError, match=message):
        build(**options)
