"""The layer to blame is where a bad value came up, not where it went."""

import math

import pytest
import torch
from torch import nn

from lightning_gen.bijections.base import Chain
from lightning_gen.bijections.coupling import Coupling
from lightning_gen.bijections.factor_out import FactorOut
from lightning_gen.bijections.masks import mask
from lightning_gen.bijections.normalization import ActNorm, BatchNormalization
from lightning_gen.bijections.scaling import LearnedNormal
from lightning_gen.bijections.shapes import Flatten
from lightning_gen.bijections.trace import Trace
from lightning_gen.bijections.transforms import Affine
from lightning_gen.nn.conditioner import MLPConditioner


class NegativeLog(nn.Module):
    """Has no parameters, and no finite output."""

    def forward(self, x):
        return torch.log(-x.abs() - 1)


class Overflows(nn.Module):
    """Makes infinity by itself and gives it to a layer."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(2, 2)

    def forward(self, x):
        return self.inner(torch.exp(x + 1000))


class Masks(nn.Module):
    """Drops what its layer makes."""

    def __init__(self):
        super().__init__()
        self.inner = NegativeLog()

    def forward(self, x):
        return torch.where(x.isfinite(), x, self.inner(x))


class Pair(nn.Module):
    """Returns a nested tuple with one bad value."""

    def forward(self, x):
        return x, {"other": [x / 0]}


class Model(nn.Module):
    """Layers in a model; only those with a name can be blamed."""

    def __init__(self, *layers):
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, x):
        return self.layers(x)


def traced(*layers):
    model = Model(*layers)
    trace = Trace(model)
    with trace.watching():
        model(torch.ones(3, 2, dtype=torch.float32))
    return trace


@pytest.mark.parametrize(
    ("layers", "name"),
    [
        ([nn.Linear(2, 2)], None),
        ([nn.Linear(2, 2), NegativeLog(), nn.Linear(2, 2), NegativeLog()], "layers.1"),
        ([nn.Sequential(nn.Linear(2, 2), NegativeLog())], "layers.0.1"),
        ([nn.Linear(2, 2), Overflows()], "layers.1"),
        ([Masks(), nn.Linear(2, 2)], "layers.0.inner"),
        ([Masks(), NegativeLog()], "layers.1"),
        ([Pair()], "layers.0"),
    ],
)
def test_the_innermost_layer_that_makes_a_bad_value_of_good_ones_is_named(layers, name):
    assert traced(*layers).culprit == name


def test_what_is_made_outside_of_all_layers_is_said_of_the_layer_that_gets_it():
    model = Model(nn.Linear(2, 2), nn.Linear(2, 2))
    trace = Trace(model)
    with trace.watching():
        model(torch.full((1, 2), math.inf))
    assert (trace.culprit, trace.fed) == (None, "layers")


def test_no_hook_stays_even_when_the_run_breaks_off():
    model = Model(nn.Linear(2, 2))
    with pytest.raises(ZeroDivisionError), Trace(model).watching():
        _ = 1 / 0
    assert not any(layer._forward_hooks or layer._forward_pre_hooks for layer in model.modules())


class SquareRoot(nn.Module):
    """Finite at 0, its slope is not."""

    def forward(self, x):
        return torch.sqrt(x * 0)


@pytest.mark.parametrize(
    ("layers", "name"),
    [
        ([nn.Linear(2, 2), nn.Linear(2, 2)], None),
        ([nn.Linear(2, 2), nn.Sequential(SquareRoot(), nn.Identity()), nn.Linear(2, 2)], "layers.1.0"),
    ],
)
def test_of_a_gradient_the_last_used_layer_with_a_good_one_behind_it_is_named(layers, name):
    model = Model(*layers)
    weights = [weight.grad for weight in model.parameters()]
    trace = Trace(model)
    terms = trace.run(lambda: {"loss": model(torch.ones(3, 2, dtype=torch.float32)).sum(), "other": torch.tensor(1.0)})
    assert terms["loss"].isfinite()
    assert (trace.culprit, trace.gradient_culprit, trace.finite_gradient) == (None, name, name is None)
    assert trace.layers["layers.0"].finite_gradient is (name is None)
    assert [weight.grad for weight in model.parameters()] == weights


def test_a_bijection_is_shown_with_its_scales(float64):
    coupling = Coupling(mask("alternate", (4,), False), MLPConditioner((4,), 8, [3]), Affine((4,), max_log_scale=100.0))
    with torch.no_grad():
        coupling.network.layers[-1].bias[:4] = 1.0
    norm = ActNorm(4, 1)
    with torch.no_grad():
        norm.log_scale.copy_(torch.tensor([0.5, -3.0, 0.0, 0.0]))
    model = Model()
    model.bijection = Chain([coupling, norm])
    trace = Trace(model)
    x = torch.ones(2, 4)
    with trace.watching():
        z, _ = model.bijection(x)
    first, second = trace.rows()
    s = 100 * math.tanh(0.01)
    assert [first.name, first.kind, second.name, second.kind] == ["bijection.bijections.0", "Coupling", "bijection.bijections.1", "ActNorm"]
    assert (first.log_scale, first.log_det) == (pytest.approx(s), pytest.approx(s / 2))
    assert (second.log_scale, second.log_det) == (3.0, pytest.approx(2.5 / 4))
    assert (second.low, second.high) == (z.min().item(), z.max().item())
    words = trace.describe("bijection.bijections.0.network.layers.0")
    assert words.startswith("bijection 'bijection.bijections.0' (Coupling) at its 'network.layers.0' with ")
    assert "|log-det| per dimension up to 0.5, |log-scale| up to 1, given values up to 1" in words


def traced_scale(layer, x, context=None):
    model = Model()
    model.bijection = layer
    trace = Trace(model)
    with trace.watching():
        model.bijection(x, context)
    (row,) = trace.rows()
    return row.log_scale


def test_batch_normalisation_is_shown_with_the_scale_by_which_it_normalised(float64):
    x = torch.tensor([[-1.0, 300.0], [1.0, 100.0]])
    layer = BatchNormalization(2)
    assert traced_scale(layer, x) == pytest.approx(math.log(100))
    layer.running_variance.copy_(torch.tensor([1e-4, 1.0]))
    assert traced_scale(layer.eval(), x) == pytest.approx(-0.5 * math.log(1.1e-4))


def test_a_learned_normal_is_shown_with_the_scale_that_the_condition_gives_it(float64):
    layer = LearnedNormal(2, num_dims=1, context_features=1)
    with torch.no_grad():
        layer.moments.copy_(torch.tensor([9.0, 9.0, 0.5, 0.0]))
        layer.slope.copy_(torch.tensor([[9.0], [9.0], [2.0], [0.0]]))
    assert traced_scale(layer, torch.ones(2, 2), torch.tensor([[1.0], [-3.0]])) == pytest.approx(5.5)


def test_a_split_prior_is_shown_with_the_scale_that_the_other_half_gives_it(float64):
    says = nn.Conv2d(1, 2, 1)
    with torch.no_grad():
        says.weight.copy_(torch.tensor([9.0, 2.0]).view(2, 1, 1, 1))
        says.bias.copy_(torch.tensor([9.0, 0.5]))
    trace = Trace(nn.Sequential(FactorOut((1, 1, 2), Flatten((1, 1, 2)), says)))
    with trace.watching():
        trace.model(torch.tensor([[[[1.0, -3.0]], [[7.0, 7.0]]]]))
    assert trace.layers["0"].log_scale == pytest.approx(5.5)


def test_the_range_of_a_layer_that_is_used_twice_is_that_of_both_uses():
    layer = nn.Identity()
    model = Model(layer)
    trace = Trace(model)
    with trace.watching():
        model(torch.tensor([1.0, math.nan]))
        model(torch.tensor([-2.0]))
    (row,) = trace.rows()
    assert (row.low, row.high, row.finite) == (-2.0, 1.0, False)
