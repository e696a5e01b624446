"""A path followed by a solver is a bijection; its log-determinant is the integral of the trace, exact or estimated without bias."""

import copy
import math

import pytest
import torch
from bijection_checks import check_bijection, perturbed

from lightning_gen.bijections import ode
from lightning_gen.bijections.base import Chain
from lightning_gen.bijections.ode import Integration, ODEFlow, random_signs, recorded_costs, without_log_det
from lightning_gen.errors import UserError
from lightning_gen.nn.ode_network import ConvField, MLPField, VectorField
from lightning_gen.noise import IndexedNoise, StepNoise

FINE = Integration(num_steps=12, trace="exact")
TIGHT = Integration("dopri5", tolerance=1e-9, trace="exact")
A = torch.tensor([[0.5, -1.0, 0.2], [0.3, 0.4, 0.0], [-0.7, 0.1, -0.2]], dtype=torch.float64)


class Linear(VectorField):
    """f(z, t) = A z."""

    def __init__(self, matrix=A):
        super().__init__()
        self.matrix = torch.nn.Parameter(matrix.clone())

    def forward(self, t, z):
        return z @ self.matrix.T


def field(shape, scale=0.2):
    made = ConvField(shape[0], width=4, num_layers=2) if len(shape) == 3 else MLPField(shape, width=8, num_layers=2)
    return perturbed(made, scale).double()


def flow(shape=(3,), how=FINE, scale=0.2, **options):
    return ODEFlow(field(shape, scale), how, **options)


@pytest.mark.parametrize("how", [FINE, TIGHT], ids=str)
def test_a_linear_field_moves_by_the_matrix_exponential_and_grows_volumes_by_its_trace(how):
    x = torch.randn(4, 3)
    z, log_det = ODEFlow(Linear(), how)(x)
    torch.testing.assert_close(z, x @ torch.linalg.matrix_exp(A).T, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(log_det, A.trace().expand(4), rtol=1e-10, atol=0)


@pytest.mark.parametrize("shape", [(3,), (2, 2, 3)], ids=str)
def test_a_flow_is_a_bijection_on_a_fine_grid(shape):
    check_bijection(flow(shape), torch.randn(3, *shape))


@pytest.mark.parametrize("shape", [(3,), (2, 2, 3)], ids=str)
def test_the_exact_trace_is_that_of_the_jacobian_however_it_is_cut(shape, monkeypatch):
    network = flow(shape).network
    monkeypatch.setattr(type(network), "chunk", 5)
    t, z = torch.tensor(0.3), torch.randn(2, *shape)
    _, trace, square = network(t, z)
    for item in range(2):
        jacobian = torch.autograd.functional.jacobian(lambda v: network.field(t, v.view(1, *shape)).flatten(), z[item].flatten())
        torch.testing.assert_close(trace[item], jacobian.trace())
        torch.testing.assert_close(square[item], jacobian.square().sum())


def test_hutchinsons_estimate_is_unbiased_and_so_is_the_squared_norm():
    layer = flow(how=Integration(trace="hutchinson"), scale=0.5)
    x, many = torch.randn(1, 3), 4000
    exact = layer(x)[1]
    with recorded_costs(layer) as costs, torch.no_grad():
        estimates = layer(x.expand(many, 3), noise=IndexedNoise(0, range(many)))[1]
        layer(x)
    for drawn, expected in ((estimates, exact), (costs[0].jacobian, costs[1].jacobian)):
        assert drawn.std() > 1e-3
        assert (drawn.mean() - expected).abs() < 4 * drawn.std() / math.sqrt(many)


def test_the_signs_are_fixed_along_a_path_and_a_function_of_the_noise_and_the_layer():
    seen = []

    def values(seed, name="trace"):
        layer = ODEFlow(Linear(), Integration(trace="hutchinson"), name=name)
        layer.network.register_forward_pre_hook(lambda module, given: seen.append(given[2]))
        return layer(torch.ones(8, 3), noise=IndexedNoise(seed, range(8)))[1]

    first = values(0)
    assert len(seen) == 16
    assert all(torch.equal(signs, seen[0]) for signs in seen)
    assert torch.equal(values(0), first)
    assert (values(1) != first).any()
    assert (values(0, "another layer") != first).any()


def test_random_signs_are_as_often_positive_as_negative():
    signs = random_signs(StepNoise(1000, 0, 0), "trace", (5,))
    assert signs.unique().tolist() == [-1, 1]
    assert signs.mean().abs() < 4 / math.sqrt(signs.numel())


def test_without_noise_and_with_an_exact_trace_noise_does_not_matter():
    x, noise = torch.randn(4, 3), IndexedNoise(0, range(4))
    estimating, exact = flow(how=Integration(trace="hutchinson")), flow(how=Integration(trace="exact"))
    exact.load_state_dict(estimating.state_dict())
    assert torch.equal(estimating(x)[1], exact(x)[1])
    assert torch.equal(exact(x, noise=noise)[1], exact(x)[1])
    assert (estimating(x, noise=noise)[1] != exact(x)[1]).all()


@pytest.mark.parametrize("trace", ["exact", "hutchinson"])
def test_evaluation_follows_the_path_in_its_own_way(trace):
    coarse, fine = Integration(num_steps=1, trace="hutchinson"), Integration(num_steps=20, trace=trace)
    layer, x, noise = flow(how=coarse, in_evaluation=fine), torch.randn(4, 3), IndexedNoise(0, range(4))
    alone = ODEFlow(layer.network.field, fine)
    assert (layer(x, noise=noise)[0] != alone(x)[0]).all()
    assert layer.num_evaluations["forward"] == 4
    for mine, expected in zip(layer.eval()(x, noise=noise), alone(x, noise=noise), strict=True):
        assert torch.equal(mine, expected)
    assert torch.equal(layer.inverse(x), alone.inverse(x))
    assert layer.num_evaluations == {"forward": 80, "inverse": 80}


@pytest.mark.parametrize(
    "settings",
    [[Integration(num_steps=steps) for steps in (1, 4, 16)], [Integration("dopri5", tolerance=size) for size in (1e-3, 1e-6, 1e-9)]],
    ids=["rk4", "dopri5"],
)
def test_the_inverse_and_the_log_determinant_are_as_good_as_the_solver_is_told_to_be(settings):
    layer, x = flow(scale=1.0), torch.randn(8, 3)
    with torch.no_grad():
        expected = ODEFlow(layer.network.field, Integration(num_steps=64))(x)[1]
    errors, volume_errors, evaluations = [], [], []
    for layer.in_training in settings:
        with torch.no_grad():
            z, log_det = layer(x)
            errors.append((layer.inverse(z) - x).abs().max())
        volume_errors.append((log_det - expected).abs().max())
        evaluations.append(layer.num_evaluations["forward"])
    for worse, better in ((errors[0], errors[1]), (errors[1], errors[2]), *zip(volume_errors, volume_errors[1:], strict=False)):
        assert better < worse / 10
    assert errors[2] < 1e-5
    assert evaluations == sorted(evaluations)


@pytest.mark.parametrize("trace", ["exact", "hutchinson"])
@pytest.mark.parametrize("solver", ["rk4", "dopri5"])
@pytest.mark.parametrize("gradient", ["backpropagation", "adjoint"])
def test_gradients_are_those_of_finite_differences(gradient, solver, trace):
    how = Integration(solver, num_steps=12, tolerance=1e-8, trace=trace)
    layer, noise = flow(how=how, gradient=gradient, scale=0.5), IndexedNoise(0, range(3))
    x = torch.randn(3, 3, requires_grad=True)

    def loss(at):
        with recorded_costs(layer) as costs:
            z, log_det = layer(at, noise=noise)
        return z.square().sum() + (log_det * torch.tensor([1.0, 2.0, 3.0])).sum() + costs[0].kinetic.sum() + costs[0].jacobian.sum()

    loss(x).backward()
    weight, step = layer.network.field.layers[0].linear.weight, 1e-5
    for tensor in (weight, x):
        direction = torch.randn_like(tensor)
        along = []
        for sign in (1, -1):
            with torch.no_grad():
                tensor.add_(sign * step * direction)
                along.append(loss(x))
                tensor.sub_(sign * step * direction)
        expected = (along[0] - along[1]) / (2 * step)
        torch.testing.assert_close((tensor.grad * direction).sum(), expected, rtol=2e-4, atol=1e-6)


def test_backpropagation_has_the_gradient_of_the_steps_that_were_taken_however_coarse():
    """The adjoint's error is of the size of the solver's; backpropagation's is none."""
    gradients = {}
    for gradient in ("backpropagation", "adjoint"):
        layer = ODEFlow(Linear(), Integration(num_steps=1, trace="exact"), gradient=gradient)
        layer(torch.ones(1, 3))[0].sum().backward()
        gradients[gradient] = layer.network.field.matrix.grad
    direction, step = torch.randn_like(A), 1e-6
    ends = [ODEFlow(Linear(A + sign * step * direction), Integration(num_steps=1))(torch.ones(1, 3))[0].sum() for sign in (1, -1)]
    expected = (ends[0] - ends[1]) / (2 * step)
    torch.testing.assert_close((gradients["backpropagation"] * direction).sum(), expected, rtol=1e-8, atol=0)
    assert ((gradients["adjoint"] * direction).sum() - expected).abs() > 1e-6
    torch.testing.assert_close(gradients["adjoint"], gradients["backpropagation"], rtol=0.05, atol=0.01)


def test_the_regularisers_have_their_closed_forms_on_a_linear_field():
    """With f = a z: K = x² a² (e^{2a} - 1) / (2a) and J = D a²."""
    a = 0.7
    layer = ODEFlow(Linear(a * torch.eye(3, dtype=torch.float64)), FINE)
    x = torch.randn(4, 3)
    with recorded_costs(layer) as costs:
        layer(x)
        layer(x, noise=IndexedNoise(0, range(4)))
    torch.testing.assert_close(costs[0].kinetic, x.square().sum(1) * a * (math.exp(2 * a) - 1) / 2, rtol=1e-7, atol=0)
    torch.testing.assert_close(costs[0].jacobian, torch.full((4,), 3 * a**2))
    layer(x)
    assert len(costs) == 2


def test_evaluations_are_counted_and_the_regularisers_steer_no_step():
    layer, x = flow(how=Integration("dopri5", tolerance=1e-6), scale=0.6), torch.randn(4, 3)
    calls = []
    layer.network.field.register_forward_hook(lambda *given: calls.append(1))
    layer(x)
    alone = layer.num_evaluations["forward"]
    assert alone == len(calls) > 13
    with recorded_costs(layer):
        layer(x)
    assert layer.num_evaluations["forward"] == alone
    calls.clear()
    layer.inverse(x)
    assert layer.num_evaluations["inverse"] == len(calls)


def test_without_log_det_only_the_point_moves():
    chain, x = Chain([flow(), flow()]), torch.randn(4, 3)
    z = chain(x)[0]
    with without_log_det(chain):
        moved, log_det = chain(x)
    assert torch.equal(moved, z)
    assert log_det.tolist() == [0, 0, 0, 0]
    assert (chain(x)[1] != 0).all()


def test_a_density_integrates_to_one():
    layer = flow((2,), Integration(num_steps=5, trace="exact"), scale=1.0)
    axis = torch.linspace(-16, 16, 129)
    points = torch.cartesian_prod(axis, axis)
    with torch.no_grad():
        z, log_det = layer(points)
    log_density = torch.distributions.Normal(0.0, 1.0).log_prob(z).sum(1) + log_det
    assert log_det.std() > 0.1
    assert abs(log_density.exp().sum() * (axis[1] - axis[0]) ** 2 - 1) < 1e-3


def test_on_a_fixed_grid_an_item_does_not_depend_on_the_items_beside_it():
    x = torch.randn(64, 3)
    far = torch.cat([x[:1], 50 * torch.randn(63, 3)])
    for how, independent in ((Integration(num_steps=8), True), (Integration("dopri5", tolerance=1e-3), False)):
        layer = flow(how=how, scale=0.6)
        assert torch.allclose(layer(x)[0][0], layer(far)[0][0], rtol=1e-12, atol=0) == independent


def test_a_field_can_be_compiled_with_its_trace_and_trained():
    layer = flow(how=Integration(num_steps=1, trace="hutchinson"))
    compiled, x, noise = copy.deepcopy(layer), torch.randn(4, 3), IndexedNoise(0, range(4))
    compiled.network.compile(backend="aot_eager")
    for one in (layer, compiled):
        z, log_det = one(x, noise=noise)
        (z.sum() + log_det.sum()).backward()
    torch.testing.assert_close(compiled(x, noise=noise), layer(x, noise=noise), rtol=1e-12, atol=1e-12)
    for mine, other in zip(compiled.parameters(), layer.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, other.grad, rtol=1e-9, atol=1e-12)


def test_the_path_is_followed_in_float32_under_autocast():
    layer, x = flow(how=Integration()).float(), torch.randn(4, 3, dtype=torch.float32)
    expected = layer(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(layer(x)[0], expected[0])
        z, log_det = layer(x.bfloat16())
    assert z.dtype == log_det.dtype == torch.float32


def test_a_tolerance_that_cannot_be_kept_is_an_error_of_one_line_and_a_broken_field_gives_nan(monkeypatch):
    monkeypatch.setattr(ode, "MAX_STEPS", 3)
    layer = ODEFlow(Linear(), Integration("dopri5", tolerance=1e-10))
    with pytest.raises(UserError, match=r"tolerance: dopri5 cannot keep 1e-10 in torch\.float64 \(.*\); expected a larger tolerance"):
        layer(torch.randn(4, 3))
    for how in (Integration(), Integration("dopri5")):
        layer = ODEFlow(Linear(A * torch.nan), how)
        assert all(values.isnan().all() for values in layer(torch.randn(4, 3)))


@pytest.mark.parametrize("gradient", ["backpropagation", "adjoint"])
@pytest.mark.parametrize("solver", ["rk4", "dopri5"])
def test_what_a_broken_field_gives_can_be_differentiated(solver, gradient):
    """The flags of a run are read every few steps on an accelerator: until then a loss of NaN is as good as any other."""
    layer = ODEFlow(MLPField((2,), width=4, num_layers=1), Integration(solver), gradient=gradient)
    with torch.no_grad():
        layer.network.field.layers[-1].linear.bias.fill_(torch.nan)
    z, log_det = layer(torch.randn(3, 2))
    assert z.isnan().all()
    (z.sum() + log_det.sum()).backward()
    assert all(parameter.grad is not None for parameter in layer.parameters())
