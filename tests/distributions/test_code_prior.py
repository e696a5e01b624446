"""The categorical prior of codes against enumeration, and its draws against its probabilities."""

import itertools

import pytest
import torch

from lightning_gen.distributions import CategoricalCodePrior
from lightning_gen.nn.base import LabelKind
from lightning_gen.noise import IndexedNoise

DRAWS = 20000
KINDS = {"none": (LabelKind(), None), "classes": (LabelKind(3), 2), "attributes": (LabelKind(0, 2), [1, 0])}


@pytest.fixture(params=KINDS)
def prior_and_label(request, float64):
    kind, label = KINDS[request.param]
    prior = CategoricalCodePrior((2, 2), 3, kind).requires_grad_(False)
    for parameter in prior.parameters():
        parameter.copy_(torch.randn_like(parameter))
    return prior, label


def labels(label, count):
    return None if label is None else torch.tensor([label] * count)


def test_probabilities_sum_to_one_over_all_codes(prior_and_label):
    prior, label = prior_and_label
    codes = torch.tensor([*itertools.product(range(3), repeat=4)]).unflatten(1, (2, 2))
    assert prior.log_prob(codes, labels(label, len(codes))).exp().sum().item() == pytest.approx(1, abs=1e-12)


def test_draws_occur_as_often_as_their_probability_says(prior_and_label):
    prior, label = prior_and_label
    drawn = prior.sample(IndexedNoise(0, range(DRAWS)), labels(label, DRAWS))
    assert (drawn.dtype, drawn.shape) == (torch.int64, (DRAWS, 2, 2))
    probabilities = prior.log_probs(1, labels(label, 1))[0].exp()
    frequencies = torch.stack([(drawn.flatten(1) == code).double().mean(0) for code in range(3)], dim=1)
    standard_error = (probabilities * (1 - probabilities) / DRAWS).sqrt()
    assert ((frequencies - probabilities).abs() < 5 * standard_error).all()


def test_the_likeliest_table_is_that_of_the_frequencies(float64):
    """Where the gradient of the likelihood vanishes."""
    codes = torch.tensor([[0, 1], [0, 2], [1, 2], [0, 2]])
    prior = CategoricalCodePrior((2,), 3)
    with torch.no_grad():
        prior.logits.copy_(torch.tensor([[0.75, 0.25, 1e-30], [1e-30, 0.25, 0.75]]).log())
    prior.log_prob(codes).mean().backward()
    assert prior.logits.grad.abs().max() < 1e-12


def test_classes_have_tables_of_their_own():
    prior = CategoricalCodePrior((2,), 5, LabelKind(2))
    with torch.no_grad():
        prior.shift.by_class.weight.view(2, 2, 5)[0, :, 1] = 50
        prior.shift.by_class.weight.view(2, 2, 5)[1, :, 4] = 50
    drawn = prior.sample(IndexedNoise(0, range(4)), torch.tensor([0, 1, 1, 0]))
    assert drawn.tolist() == [[1, 1], [4, 4], [4, 4], [1, 1]]
