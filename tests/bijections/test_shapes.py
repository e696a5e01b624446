"""Squeeze, permutations, factor-out, logit and chains are bijections; every number of a multi-scale flow comes back."""

import math

import pytest
import torch
from bijection_checks import check_bijection, perturbed

from lightning_gen.bijections.base import Bijection, Chain, Inverse
from lightning_gen.bijections.coupling import Coupling
from lightning_gen.bijections.factor_out import FactorOut
from lightning_gen.bijections.logit import Logit, Shift, Sigmoid
from lightning_gen.bijections.masks import mask
from lightning_gen.bijections.shapes import Flatten, Permutation, Squeeze, squeezed
from lightning_gen.bijections.transforms import TanhAffine
from lightning_gen.errors import UserError
from lightning_gen.nn.conditioner import WeightNormResNet

IMAGES = (3, 2, 4, 4)


def coupling(shape):
    return Coupling(mask("checkerboard", shape), WeightNormResNet(shape[0], 2 * shape[0], 4, 1), TanhAffine(shape))


def network(in_channels, out_channels):
    return WeightNormResNet(in_channels, out_channels, 4, 1)


@pytest.mark.parametrize(
    ("layer", "x"),
    [
        (Squeeze(), torch.randn(IMAGES)),
        (Flatten(IMAGES[1:]), torch.randn(IMAGES)),
        (Permutation.random(5, 1), torch.randn(3, 5)),
        (Permutation.reverse(2), torch.randn(IMAGES)),
        (Logit(), torch.rand(IMAGES)),
        (Logit(1e-6), torch.rand(IMAGES)),
        (Sigmoid(), 3 * torch.randn(IMAGES)),
        (Inverse(Logit()), torch.randn(IMAGES)),
        (Shift(), torch.randn(IMAGES)),
    ],
)
def test_a_layer_without_parameters_is_a_bijection(layer, x):
    check_bijection(layer, x.double())


@pytest.mark.parametrize("conditional", [False, True])
def test_factoring_out_is_a_bijection(conditional):
    rest = Chain([coupling((2, 4, 4)), Flatten((2, 4, 4))])
    check_bijection(perturbed(FactorOut((1, 4, 4), rest, network(2, 2) if conditional else None)), torch.randn(3, 3, 4, 4))


def test_a_chain_of_scales_is_a_bijection_and_adds_up():
    inner = Chain([coupling((4, 2, 2)), Flatten((4, 2, 2))])
    chain = perturbed(Chain([coupling((2, 4, 4)), Squeeze(), FactorOut((4, 2, 2), inner, network(4, 8)), Permutation.reverse(32)]))
    check_bijection(chain, torch.randn(IMAGES))


def test_the_inverse_of_a_coupling_is_a_bijection():
    check_bijection(perturbed(Inverse(coupling((2, 4, 4)))), torch.randn(IMAGES))


def test_a_split_prior_is_the_normal_that_it_says():
    """log N(early; mean(h), scale(h)) of the early half is the log-density of what it becomes."""
    layer = perturbed(FactorOut((1, 2, 2), Flatten((1, 2, 2)), network(1, 2))).double()
    x = torch.randn(4, 2, 2, 2)
    z, log_det = layer(x)
    mean, log_scale = layer.moments(x[:, :1])
    standard = torch.distributions.Normal(0.0, 1.0)
    expected = torch.distributions.Normal(mean, log_scale.exp()).log_prob(x[:, 1:]).flatten(1).sum(1)
    torch.testing.assert_close(standard.log_prob(z[:, :4]).sum(1) + log_det, expected)


def test_a_squeeze_keeps_blocks_of_two_by_two_together():
    z = Squeeze()(torch.arange(16.0).view(1, 1, 4, 4))[0]
    assert z[0, :, 0, 0].tolist() == [0, 1, 4, 5]
    assert squeezed((1, 4, 6)) == (4, 2, 3)


@pytest.mark.parametrize("shape", [(1, 7, 7), (1, 4, 5), (4,)])
def test_what_cannot_be_squeezed_is_refused(shape):
    with pytest.raises(UserError, match="a squeeze needs images with even sides"):
        squeezed(shape)


def test_permutations_are_a_function_of_their_key():
    assert torch.equal(Permutation.random(9, "a").order, Permutation.random(9, "a").order)
    assert not torch.equal(Permutation.random(9, "a").order, Permutation.random(9, "b").order)


def test_the_logit_is_symmetric_and_finite_at_the_ends():
    z, log_det = Logit(0.05)(torch.tensor([[0.0, 0.5, 1.0]]))
    torch.testing.assert_close(z, torch.tensor([[math.log(0.05 / 0.95), 0.0, math.log(0.95 / 0.05)]]))
    slopes = 0.9 * torch.tensor([1 / (0.05 * 0.95), 4.0, 1 / (0.05 * 0.95)])
    torch.testing.assert_close(log_det, slopes.log().sum().view(1))


@pytest.mark.parametrize("alpha", [0.0, 0.5, -1.0])
def test_a_logit_that_is_infinite_or_constant_is_refused(alpha):
    with pytest.raises(UserError, match=r"model\.alpha: expected a number above 0 and below 0\.5"):
        Logit(alpha)


def test_a_bijection_without_an_implementation_says_so():
    for call in (Bijection().forward, Bijection().inverse):
        with pytest.raises(NotImplementedError, match="Bijection has to implement"):
            call(torch.zeros(1, 1))
