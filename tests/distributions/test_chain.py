"""Two-part distributions: their density against quadrature and against a product written out, their draws against that density."""

import math

import pytest
import torch

from lightning_gen.distributions.chain import Chain, NetworkNormal, PrecisionWeighted, product
from lightning_gen.distributions.normal import DiagonalNormal
from lightning_gen.nn.base import LabelKind
from lightning_gen.nn.mlp import MLPDecoder, MLPEncoder
from lightning_gen.noise import IndexedNoise

pytestmark = pytest.mark.usefixtures("float64")


def chain(size=1, root_is_last=False, labels=None, sizes=None):
    """A normal, and one that depends on it nonlinearly."""
    given, kind = sizes or (size, size), LabelKind(4) if labels is not None else LabelKind()
    root, child = reversed(given) if root_is_last else given
    network = MLPEncoder((root,), 2 * child, kind, hidden=[5]).requires_grad_(False)
    for parameter in network.parameters():
        parameter.add_(0.3 * torch.randn_like(parameter))
    normal = DiagonalNormal(torch.randn(root), 0.3 * torch.randn(root))
    return Chain(normal, NetworkNormal(network, labels), given, root_is_last)


def log_prob_by_hand(of, a, b):
    parameters = of.conditional.network(a)
    mean, log_scale = parameters.chunk(2, dim=-1)
    root = torch.distributions.Normal(of.root.mean, of.root.log_scale.exp()).log_prob(a).sum(-1)
    return root, torch.distributions.Normal(mean, log_scale.exp()).log_prob(b).sum(-1)


@pytest.mark.parametrize("root_is_last", [False, True])
def test_the_density_integrates_to_one(root_is_last):
    line = torch.linspace(-20, 20, 1601)
    mass = chain(1, root_is_last).log_prob(torch.cartesian_prod(line, line)).exp().sum() * (line[1] - line[0]) ** 2
    assert mass.item() == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("root_is_last", [False, True])
def test_log_prob_is_the_sum_of_the_two_parts_in_the_order_of_z(root_is_last):
    of = chain(root_is_last=root_is_last, sizes=(3, 2))
    z = torch.randn(6, 5)
    first, last = z.split([3, 2], dim=-1)
    root, given = log_prob_by_hand(of, last, first) if root_is_last else log_prob_by_hand(of, first, last)
    torch.testing.assert_close(of.log_prob_parts(z), torch.stack([given, root] if root_is_last else [root, given], dim=-1))
    torch.testing.assert_close(of.log_prob(z), root + given)


@pytest.mark.parametrize("root_is_last", [False, True])
def test_draws_have_the_moments_of_the_density(root_is_last):
    of, count = chain(1, root_is_last), 40_000
    z = of.sample(IndexedNoise(0, range(count // 8)), "z", (8, 2)).flatten(0, 1)
    line = torch.linspace(-20, 20, 1601)
    grid = torch.cartesian_prod(line, line)
    density = of.log_prob(grid).exp() * (line[1] - line[0]) ** 2
    for moment in (lambda z: z, lambda z: z.square(), lambda z: z.prod(-1, keepdim=True)):
        values, expected = moment(z), density @ moment(grid)
        assert ((values.mean(0) - expected).abs() < 5 * values.std(0) / math.sqrt(count)).all()


def test_k_draws_per_image_are_scored_as_each_alone():
    labels = torch.tensor([0, 3, 1])
    of = chain(2, labels=labels)
    of.root = DiagonalNormal(torch.randn(3, 2), torch.randn(3, 2))
    z = of.repeated().sample(IndexedNoise(0, range(3)), "z", (7, 4))
    together = of.repeated().log_prob(z)
    for j in range(7):
        torch.testing.assert_close(of.log_prob(z[:, j]), together[:, j])


def test_the_two_parts_are_drawn_by_different_noise():
    of = chain(2)
    for parameter in of.conditional.network.parameters():
        parameter.zero_()
    z = of.sample(IndexedNoise(0, range(2000)), "z", (4,))
    assert abs(float(torch.corrcoef(z.T)[0, 2])) < 5 / math.sqrt(2000)


@pytest.mark.parametrize("root_is_last", [False, True])
def test_its_mean_is_the_roots_and_the_other_parts_given_that(root_is_last):
    of = chain(1, root_is_last)
    a = of.root.mean
    assert of.mean.tolist() == torch.cat([of.conditional.given(a).mean, a] if root_is_last else [a, of.conditional.given(a).mean]).tolist()


def test_a_product_of_normals_has_the_hand_computed_mean_and_scale():
    # Precisions 4 and 1/4: variance 1 / 4.25, mean (1 * 4 + 5 / 4) / 4.25.
    one, other = (DiagonalNormal(torch.tensor([m]), torch.tensor([s]).log()) for m, s in ((1.0, 0.5), (5.0, 2.0)))
    for found in (product(one, other), product(other, one)):
        assert found.mean.item() == pytest.approx(5.25 / 4.25, rel=1e-12)
        assert found.log_scale.exp().item() == pytest.approx(math.sqrt(1 / 4.25), rel=1e-12)


def test_a_product_of_normals_is_proportional_to_the_product_of_their_densities():
    one, other = (DiagonalNormal(torch.randn(4), torch.randn(4)) for _ in range(2))
    z = torch.randn(50, 4)
    rest = product(one, other).log_prob(z) - one.log_prob(z) - other.log_prob(z)
    torch.testing.assert_close(rest, rest[0].expand_as(rest))


def test_evidence_belongs_to_its_image_however_many_draws_there_are():
    prior, evidence = chain(2).conditional, DiagonalNormal(torch.randn(3, 2), torch.randn(3, 2))
    a = torch.randn(3, 5, 2)
    repeated = PrecisionWeighted(evidence, prior).repeated().given(a)
    for j in range(5):
        alone = PrecisionWeighted(evidence, prior).given(a[:, j])
        torch.testing.assert_close(repeated.mean[:, j], alone.mean)
        torch.testing.assert_close(repeated.log_scale[:, j], alone.log_scale)


def test_a_far_away_draw_leaves_every_density_finite_in_float32():
    """Steep as a network is after a few steps without a charge for the KL: its log-scales would be in the hundreds."""
    network = MLPDecoder(3, (4,), hidden=[8], activation="relu")
    with torch.no_grad():
        network.layers[-1].weight.mul_(100)
    normal = NetworkNormal(network).given(1e3 * torch.randn(50, 3))
    b = normal.sample(IndexedNoise(0, range(50)), "b", (2,))
    assert normal.log_prob(b).isfinite().all()
    assert normal.log_prob(torch.zeros(50, 2)).isfinite().all()
