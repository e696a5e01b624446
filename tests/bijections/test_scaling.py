"""Scales of numbers and learned normals: bijections, and the densities that they say they are."""

import pytest
import torch
from bijection_checks import check_bijection, perturbed
from torch.distributions import Normal

from lightning_gen.bijections.scaling import LearnedNormal, Scaling

SHAPES = [(3, 2, 4, 3), (4, 5)]


@pytest.mark.parametrize("shape", SHAPES)
def test_a_scaling_is_a_bijection(shape):
    check_bijection(perturbed(Scaling(shape[1:])), torch.randn(shape))


@pytest.mark.parametrize("features", [0, 3])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_learned_normal_is_a_bijection(shape, features):
    layer = perturbed(LearnedNormal(shape[1], len(shape) - 1, features))
    check_bijection(layer, torch.randn(shape), torch.randn(shape[0], features) if features else None)


def test_it_is_the_normal_of_its_mean_and_scale_item_by_item():
    layer = perturbed(LearnedNormal(2, 3, 4))
    x, context = torch.randn(3, 2, 4, 3), torch.randn(3, 4)
    z, log_det = layer(x, context)
    mean, log_scale = layer.mean_and_log_scale(context)
    assert (mean[0] != mean[1]).all()
    expected = Normal(mean, log_scale.exp()).log_prob(x).flatten(1).sum(1)
    torch.testing.assert_close(Normal(0.0, 1.0).log_prob(z).flatten(1).sum(1) + log_det, expected)


@pytest.mark.parametrize("layer", [Scaling((2, 3, 3)), LearnedNormal(2), LearnedNormal(2, 3, 4)])
def test_it_starts_as_the_identity(layer):
    x = torch.randn(5, 2, 3, 3)
    z, log_det = layer.double()(x, torch.randn(5, 4))
    assert torch.equal(z, x)
    assert not log_det.any()
