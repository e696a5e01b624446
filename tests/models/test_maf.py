"""Masked autoregressive flows, and inverse ones: densities that integrate to one and are each other's inverse."""

import pytest
import torch

from lightning_gen.bijections.base import Inverse
from lightning_gen.errors import UserError
from lightning_gen.models import IAF, MAF
from lightning_gen.noise import IndexedNoise

pytestmark = pytest.mark.usefixtures("float64")


def make(cls, shape=(2,), distance=0.3, **options):
    """A flow away from the identity."""
    model = cls(list(shape), **{"num_layers": 3, "hidden": [8], "activation": "tanh", "normalization": "none"} | options).double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(distance * torch.randn_like(parameter))
    return model


@pytest.mark.parametrize("normalization", ["BatchNormalization", "ActNorm", "none"])
@pytest.mark.parametrize("cls", [MAF, IAF])
@torch.no_grad()
def test_the_density_of_a_plane_integrates_to_one(cls, normalization):
    model = make(cls, normalization=normalization)
    axis = torch.linspace(-25, 25, 251)
    grid = torch.cartesian_prod(axis, axis)
    integral = model.log_prob(grid, noise=IndexedNoise(0, range(len(grid)))).exp().sum() * (axis[1] - axis[0]) ** 2
    assert integral.item() == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("cls", [MAF, IAF])
@torch.no_grad()
def test_images_come_back_from_their_latents(cls):
    model = make(cls, (2, 3, 3), distance=0.1, num_bits=8)
    images = torch.randint(0, 256, (5, 2, 3, 3), dtype=torch.uint8)
    assert torch.equal(model.decode(model.encode(images)), images)


@torch.no_grad()
def test_a_maf_run_backwards_is_the_density_of_an_iaf():
    """log p of the IAF with a MAF's networks is log N(x's noise) plus what the MAF says of the way there."""
    maf, iaf = make(MAF, (5,), num_layers=1), make(IAF, (5,), num_layers=1)
    iaf.load_state_dict({name.replace("bijections.0.", "bijections.0.bijection."): value for name, value in maf.state_dict().items()})
    x = torch.randn(7, 5)
    z, log_det = Inverse(maf.bijection)(x)
    expected = maf.prior().log_prob(z) + log_det
    torch.testing.assert_close(iaf.log_prob(x, noise=IndexedNoise(0, range(7))), expected)
    torch.testing.assert_close(maf.bijection(z)[0], x)
    torch.testing.assert_close(iaf.decode(x), maf.encode(x))


def test_the_layers_run_in_opposite_orders():
    """After one layer the first number knows nothing of the others; after two, all know of all."""

    def jacobian(num_layers):
        model = make(MAF, (4,), num_layers=num_layers)
        return torch.autograd.functional.jacobian(lambda x: model.encode(x)[0], torch.randn(1, 4))[:, 0]

    assert not jacobian(1).triu(1).any()
    assert jacobian(2).abs().gt(0).all()


@pytest.mark.parametrize("cls", [MAF, IAF])
@torch.no_grad()
def test_every_layer_is_given_the_labels(cls):
    model = make(cls, (4,), num_classes=3, conditional=True)
    x = torch.randn(6, 4)
    of_labels = [model.log_prob(x, labels=torch.full((6,), label), noise=IndexedNoise(0, range(6))) for label in range(3)]
    assert (of_labels[0] != of_labels[1]).all()
    assert (of_labels[1] != of_labels[2]).all()
    labels = torch.tensor([0, 1, 2, 0, 1, 2])
    torch.testing.assert_close(model.decode(model.encode(x, labels=labels), labels=labels), x)


def test_a_flow_without_layers_is_refused():
    with pytest.raises(UserError, match=r"model\.num_layers: expected at least 1, got 0"):
        MAF([4], num_layers=0)
