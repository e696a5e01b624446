"""Each dialect gives its package's number for the same features."""

import warnings

import numpy as np
import pytest
import torch
from torch_fidelity.metric_isc import isc_features_to_metric
from torch_fidelity.metric_kid import kid_features_to_metric

from lightning_gen.errors import UserError
from lightning_gen.metrics import dialects
from lightning_gen.metrics.dialects import TF1, TORCHMETRICS, dialect
from lightning_gen.metrics.inception_score import inception_score


@pytest.fixture
def of_torchmetrics():
    """``of_torchmetrics(kind, updates, **options)``: one of torchmetrics' own classes on features, after ``torch.manual_seed(2020)``."""
    from torchmetrics.image.inception import InceptionScore
    from torchmetrics.image.kid import KernelInceptionDistance

    def compute(kind, updates, **options):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            metric = {"is": InceptionScore, "kid": KernelInceptionDistance}[kind](feature=torch.nn.Identity(), **options)
        for arguments, keywords in updates:
            metric.update(*arguments, **keywords)
        torch.manual_seed(2020)
        return tuple(float(value) for value in metric.compute())

    return compute


def random_logits(count, num_classes=10):
    return torch.randn(count, num_classes) * 2 + torch.randn(num_classes)


def features(count, d=16, scale=1.0):
    return (torch.randn(count, d) * scale).abs()


@pytest.mark.parametrize(("count", "num_classes"), [(1000, 10), (1003, 10), (25, 10), (10, 4), (600, 1008)])
def test_torchmetrics_inception_score(of_torchmetrics, count, num_classes):
    logits = random_logits(count, num_classes)
    ours = TORCHMETRICS.inception_score(logits.numpy())
    assert (ours.mean, ours.std) == of_torchmetrics("is", [((logits,), {})])


def test_torchmetrics_kernel_distance(of_torchmetrics, monkeypatch):
    monkeypatch.setattr(dialects, "SUBSETS", 10)
    monkeypatch.setattr(dialects, "SUBSET_SIZE", 150)
    samples, real = features(200, scale=1.2), features(300)
    theirs = of_torchmetrics("kid", [((real,), {"real": True}), ((samples,), {"real": False})], subsets=10, subset_size=150)
    ours = TORCHMETRICS.kernel_distance(samples.numpy(), real.numpy())
    assert (ours.mean, ours.std) == theirs
    assert ours.subset_size == 150
    swapped = TORCHMETRICS.kernel_distance(real.numpy(), samples.numpy())
    assert swapped.mean != ours.mean


@pytest.mark.slow
def test_torchmetrics_protocol(of_torchmetrics):
    samples, real = features(1200, 256, 1.05), features(1100, 256)
    theirs = of_torchmetrics("kid", [((real,), {"real": True}), ((samples,), {"real": False})])
    ours = TORCHMETRICS.kernel_distance(samples.numpy(), real.numpy())
    assert (ours.mean, ours.std) == theirs


def test_tf1_is_torch_fidelity_with_its_defaults():
    logits = random_logits(500)
    theirs = isc_features_to_metric(logits)
    assert TF1.inception_score(logits.numpy()).mean == pytest.approx(theirs["inception_score_mean"], rel=1e-9)
    samples, real = features(1010, 4, 1.2), features(1020, 4)
    kid = kid_features_to_metric(samples, real, verbose=False)
    ours = TF1.kernel_distance(samples.numpy(), real.numpy())
    assert (ours.mean, ours.std) == pytest.approx(tuple(kid.values()), abs=1e-6)
    assert ours.subset_size == 1000


def test_the_dialects_share_the_entropies_and_differ_in_the_std():
    logits = random_logits(500).numpy()
    one, other = TF1.inception_score(logits), TORCHMETRICS.inception_score(logits)
    assert one.marginal_entropy == pytest.approx(other.marginal_entropy, rel=1e-9)
    assert one.conditional_entropy == pytest.approx(other.conditional_entropy, rel=1e-9)
    assert one.mean != other.mean
    assert one.seed_spread != other.seed_spread
    assert other.seed_spread > 0


def test_the_global_random_state_is_left_alone():
    logits, x = random_logits(40).numpy(), features(20).numpy()
    state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()
    for each in (TF1, TORCHMETRICS):
        each.inception_score(logits)
        each.kernel_distance(x, x)
    assert torch.equal(torch.get_rng_state(), state)
    np.testing.assert_array_equal(np.random.get_state()[1], numpy_state)


def test_a_dialect_is_found_by_its_name():
    assert dialect("tf1").name == "tf1"
    assert dialect("torchmetrics") is TORCHMETRICS
    with pytest.raises(UserError, match="dialect 'torchmetric': unknown; did you mean 'torchmetrics'"):
        dialect("torchmetric")
    with pytest.raises(UserError, match="expected one of tf1, torchmetrics"):
        dialect("clean")


def test_reference_arithmetic_reaches_the_score():
    logits = random_logits(333, 50).numpy()
    assert dialect("tf1", "reference").inception_score(logits) == inception_score(logits, arithmetic="reference")
    assert dialect("tf1").inception_score(logits) == inception_score(logits, arithmetic="fast")
    assert inception_score(logits, arithmetic="reference") != inception_score(logits, arithmetic="fast")


def test_too_few_images_or_underflow_are_refused_in_one_line():
    for each in (TF1, TORCHMETRICS):
        with pytest.raises(UserError, match="expected at least 10 rows, got 9"):
            each.inception_score(random_logits(9).numpy())
        with pytest.raises(UserError, match="expected at least 4 rows, got 3"):
            each.kernel_distance(features(3).numpy(), features(10).numpy())
    with pytest.raises(UserError, match="'torchmetrics': the score is NaN"):
        TORCHMETRICS.inception_score(np.tile(np.array([[0, -500]], np.float32), (20, 1)))
