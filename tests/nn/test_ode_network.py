"""Vector fields: smooth, still at first, and different at different times."""

import pytest
import torch

from lightning_gen.errors import UserError
from lightning_gen.nn.ode_network import ConvField, MLPField

FIELDS = {"convolutions": (lambda: ConvField(2, 4, 2), (2, 4, 3)), "fully connected": (lambda: MLPField((5,), 7, 2), (5,))}


@pytest.fixture(params=FIELDS)
def case(request):
    build, shape = FIELDS[request.param]
    return build().double(), torch.randn(3, *shape, dtype=torch.float64)


def moved(field):
    with torch.no_grad():
        for parameter in field.parameters():
            parameter.add_(0.5 * torch.randn_like(parameter))
    return field


def test_nothing_moves_at_first(case):
    field, z = case
    assert torch.equal(field(torch.tensor(0.5), z), torch.zeros_like(z))


def test_a_field_changes_with_the_time_and_is_one_of_each_item_alone(case):
    field, z = moved(case[0]), case[1]
    now, later = field(torch.tensor(0.2), z), field(torch.tensor(0.9), z)
    assert now.shape == z.shape
    assert (now != later).all()
    torch.testing.assert_close(field(torch.tensor(0.2), z[1:2]), now[1:2], rtol=1e-12, atol=1e-12)


def test_the_trace_can_be_trained_since_second_derivatives_are_not_zero(case):
    field, z = moved(case[0]), case[1].requires_grad_()
    (slope,) = torch.autograd.grad(field(torch.tensor(0.2), z).sum(), z, create_graph=True)
    (curvature,) = torch.autograd.grad(slope.sum(), z)
    assert (curvature != 0).all()


@pytest.mark.parametrize("build", [lambda **options: ConvField(2, **options), lambda **options: MLPField((2,), **options)])
def test_a_field_without_hidden_layers_is_refused(build):
    with pytest.raises(UserError, match="num_layers: expected at least 1, got 0"):
        build(num_layers=0)
    with pytest.raises(UserError, match="width: expected at least 1, got 0"):
        build(width=0)
