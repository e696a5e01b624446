"""The autoregressive prior of codes: a distribution over all of them, whose draws follow it."""

import itertools

import pytest
import torch
from bijection_checks import perturbed

from lightning_gen.distributions import AutoregressiveCodePrior
from lightning_gen.errors import UserError
from lightning_gen.nn.base import LabelKind
from lightning_gen.noise import IndexedNoise

DRAWS = 20000
KINDS = {"none": (LabelKind(), None), "classes": (LabelKind(3), 2), "attributes": (LabelKind(0, 2), [1, 0])}
MADE = {"class_path": "MADENetwork", "init_args": {"hidden": [20], "order": "random"}}


@pytest.fixture(params=KINDS)
def prior_and_label(request, float64):
    kind, label = KINDS[request.param]
    return perturbed(AutoregressiveCodePrior((2, 2), 3, kind, network=MADE, features=4).double(), 0.3), label


def labels(label, count):
    return None if label is None else torch.tensor([label] * count)


def every_code():
    return torch.tensor([*itertools.product(range(3), repeat=4)]).unflatten(1, (2, 2))


@torch.no_grad()
def test_probabilities_sum_to_one_over_all_codes(prior_and_label):
    prior, label = prior_and_label
    codes = every_code()
    assert prior.log_prob(codes, labels(label, len(codes))).exp().sum().item() == pytest.approx(1, abs=1e-12)


@torch.no_grad()
def test_draws_occur_as_often_as_their_probability_says(prior_and_label):
    prior, label = prior_and_label
    drawn = prior.sample(IndexedNoise(0, range(DRAWS)), labels(label, DRAWS))
    assert (drawn.dtype, drawn.shape) == (torch.int64, (DRAWS, 2, 2))
    codes = every_code()
    probability = prior.log_prob(codes, labels(label, len(codes))).exp()
    digits = 3 ** torch.arange(3, -1, -1)
    frequency = torch.bincount(drawn.flatten(1) @ digits, minlength=81) / DRAWS
    assert ((frequency - probability).abs() < 5 * (probability * (1 - probability) / DRAWS).sqrt() + 1e-12).all()


def test_a_row_of_codes_is_a_grid_of_one_row_and_a_cube_is_refused():
    prior = AutoregressiveCodePrior((5,), 7, network=MADE)
    assert prior.sample(IndexedNoise(0, range(4))).shape == (4, 5)
    assert prior.log_prob(torch.zeros(4, 5, dtype=torch.int64)).shape == (4,)
    with pytest.raises(UserError, match=r"model\.code_shape: AutoregressiveCodePrior needs a grid"):
        AutoregressiveCodePrior((2, 2, 2), 7)
    with pytest.raises(UserError, match=r"model\.code_prior\.network: unknown class 'MADENetwrk'"):
        AutoregressiveCodePrior((2, 2), 7, network="MADENetwrk")
