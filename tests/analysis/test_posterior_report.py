"""The report on a posterior: closed forms on a linear-Gaussian model, collapse, and the same on any number of processes."""

import math

import pytest
import torch
from distributed_pool import Pool, shared_pool
from torch import nn
from torch.distributions import MultivariateNormal

from lightning_gen.analysis.posterior_report import posterior_report
from lightning_gen.data import Digits
from lightning_gen.errors import UserError
from lightning_gen.models import GAN, VAE, ConditionalVAE
from lightning_gen.nn.base import Decoder, Encoder

SLOPE = torch.tensor([[1.2, 0.0, 0.0], [0.0, 0.6, 0.0]])  # of the posterior's mean: the third dimension is collapsed
LOG_SCALE = torch.tensor([-1.0, -0.3, 0.0])


class Linear(Encoder, Decoder):
    """One linear layer, as an encoder and as a decoder."""

    def __init__(self, in_features, out_features):
        nn.Module.__init__(self)
        self.linear = nn.Linear(in_features, out_features)

    def forward(self, x, labels=None):
        return self.linear(x)


class LinearVAE(VAE):
    """x in the plane; z has three dimensions, one of them unused."""

    def build_encoder(self, spec, latent_dim):
        return Linear(2, 2 * latent_dim)

    def build_decoder(self, spec, latent_dim):
        return Linear(latent_dim, 2)


@pytest.fixture(scope="module")
def pool() -> Pool:
    return shared_pool()


@pytest.fixture
def model():
    model = LinearVAE([2], latent_dim=3).requires_grad_(False)
    model.encoder.linear.weight.copy_(torch.cat([SLOPE.T, torch.zeros(3, 2)]))
    model.encoder.linear.bias.copy_(torch.cat([torch.zeros(3), LOG_SCALE]))
    model.decoder.linear.weight.copy_(torch.tensor([[0.9, 0.1, 0.0], [0.0, 0.7, 0.0]]))
    model.likelihood.log_scale.fill_(math.log(0.5))
    return model


@pytest.fixture
def data(tiny):
    return tiny(data_shape=(2,), count=1000)


def evidence(model, x):
    w, sigma = model.decoder.linear.weight, model.likelihood.min_scale + 0.5
    return MultivariateNormal(model.decoder.linear.bias, w @ w.T + sigma**2 * torch.eye(2)).log_prob(x)


def test_the_parts_are_the_closed_forms(model, data):
    report = posterior_report(model, data, "test", 1000, num_samples=1000)
    x = data.batch("test", range(1000))[0]
    posterior = model.posterior(x)
    kl = posterior.kl_terms(model.prior()).mean(0)
    torch.testing.assert_close(torch.tensor(report.kl_per_dimension), kl, rtol=1e-5, atol=1e-7)
    assert report.rate == pytest.approx(float(kl.sum()), rel=1e-5)
    assert report.elbo == pytest.approx(-report.rate - report.distortion, rel=1e-12)
    assert (report.images, report.latent_dim, report.active_units, report.bound_samples) == (1000, 3, 2, 1000)
    assert report.variational_gap == pytest.approx(report.bound - report.elbo)
    # ELBO <= bound <= log p(x), the last within the bound's own error.
    assert report.variational_gap > 0.02
    assert report.bound == pytest.approx(float(evidence(model, x).mean()), abs=0.02)


def test_the_rate_splits_into_mutual_information_and_aggregate_kl(model, data):
    report = posterior_report(model, data, "test", 1000)
    # The aggregate posterior of Gaussian data under a linear encoder is Gaussian.
    covariance = SLOPE.T @ SLOPE + torch.diag((2 * LOG_SCALE).exp())
    aggregate = MultivariateNormal(torch.zeros(3), covariance)
    expected = torch.distributions.kl_divergence(aggregate, MultivariateNormal(torch.zeros(3), torch.eye(3)))
    information = 0.5 * torch.logdet(covariance) - LOG_SCALE.sum()
    assert report.aggregate_kl == pytest.approx(float(expected), abs=0.1)
    assert report.mutual_information == pytest.approx(float(information), abs=0.1)
    assert report.mutual_information + report.aggregate_kl == pytest.approx(report.rate, rel=1e-12)


def test_few_images_hide_information_in_the_aggregate_kl(model, data):
    few, many = (posterior_report(model, data, "test", count, num_samples=2) for count in (2, 1000))
    assert few.mutual_information <= math.log(2) < many.mutual_information
    assert few.aggregate_kl > many.aggregate_kl
    assert few.mutual_information + few.aggregate_kl == pytest.approx(few.rate, rel=1e-12)


def test_a_collapsed_posterior_has_no_active_units_no_rate_and_no_information(model, data):
    model.encoder.linear.weight.zero_()
    model.encoder.linear.bias.zero_()
    report = posterior_report(model, data, "test", 200)
    assert (report.active_units, report.rate, report.mutual_information, report.aggregate_kl) == (0, 0.0, 0.0, 0.0)


def test_a_posterior_that_does_not_split_still_has_a_rate(data):
    model = VAE([2], latent_dim=3, posterior="FullNormal")
    report = posterior_report(model, data, "test", 300)
    x = data.batch("test", range(300))[0]
    assert report.kl_per_dimension == ()
    assert report.rate == pytest.approx(float(model.posterior(x).kl_terms(model.prior()).mean().detach()), abs=0.3)


def test_with_a_prior_per_label_there_is_no_aggregate(tiny):
    model = ConditionalVAE([1, 8, 8], latent_dim=3, num_classes=4, learned_prior=True)
    report = posterior_report(model, tiny(), "test", 70, num_samples=2)
    assert (report.mutual_information, report.aggregate_kl) == (None, None)
    assert "aggregate_kl" not in report.scalars()
    assert report.rate > 0


def test_a_model_without_a_posterior_is_refused(data):
    with pytest.raises(UserError, match="report: GAN has no posterior"):
        posterior_report(GAN([2]), data, "test", 10)


def of_ranks(rank, world_size):
    torch.manual_seed(0)
    model = VAE([1, 8, 8], latent_dim=3)
    return posterior_report(model, Digits(batch_size=64), "test", 70, num_samples=3)


def test_any_number_of_processes_reports_the_same(pool):
    """70 images are two blocks, so the third process has none."""
    (alone,) = pool(of_ranks)
    for world_size in (2, 3):
        assert all(report == alone for report in pool(of_ranks, world_size=world_size))


def test_reporting_changes_nothing(model, data):
    model.train()
    before, generator = {name: tensor.clone() for name, tensor in model.state_dict().items()}, torch.get_rng_state()
    posterior_report(model, data, "test", 70)
    assert model.training
    assert torch.equal(torch.get_rng_state(), generator)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
