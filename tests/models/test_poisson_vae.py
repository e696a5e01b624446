"""The Poisson VAE: its gradients against the exact ELBO's by enumeration, its bounds, and that learning to infer is worth it."""

import itertools

import pytest
import torch

from lightning_gen.data import Digits
from lightning_gen.distributions import Poisson
from lightning_gen.errors import UserError
from lightning_gen.models import PoissonVAE
from lightning_gen.models.autoencoders.poisson_vae import likely_events
from lightning_gen.noise import IndexedNoise

NETWORKS = {"encoder": {"class_path": "MLPEncoder", "hidden": [5]}, "decoder": {"class_path": "MLPDecoder", "hidden": [5]}}
RELAXED = {"gradient": "relaxed", "num_samples": 1, "temperature": 0.05}
TOP = 40
"""Counts from here on have no mass that a float64 sum would notice, at the rates of these tests."""
REPEATS = 20000


def make(latent_dim=2, **options):
    """A model of 2x2 binary images with weights away from zero, and one image."""
    torch.manual_seed(1)
    options = {"num_bits": 1, "likelihood": "Bernoulli", **NETWORKS} | options
    model = PoissonVAE([1, 2, 2], latent_dim=latent_dim, **options).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return model, torch.tensor([[[[0, 255], [255, 255]]]], dtype=torch.uint8)


def exact_elbo(model, image):
    """The ELBO of one image and its log-evidence, summed over all vectors of counts."""
    counts = torch.tensor([*itertools.product(range(TOP), repeat=model.latent_dim)], dtype=torch.float64)
    q, p = model.posterior(image), model.prior()
    likelihood = model.likelihood.log_prob(model.likelihood_parameters(counts), model.likelihood.target(image, None))
    log_q, log_p = q.log_prob(counts), p.log_prob(counts)
    return (log_q.exp() * (likelihood + log_p - log_q)).sum(), torch.logsumexp(likelihood + log_p, 0)


def gradients(model, loss):
    """Of every parameter, one vector."""
    return torch.cat([gradient.flatten() for gradient in torch.autograd.grad(loss, [*model.parameters()])])


def estimates(model, image, repeats=REPEATS, chunks=20):
    """Mean and standard error of the gradient of the loss, over independent draws in chunks."""
    found = []
    for chunk in range(chunks):
        noise = IndexedNoise(chunk, range(repeats // chunks))
        loss = model.negative_elbo(image.expand(len(noise), -1, -1, -1), None, noise)["loss"]
        found.append(gradients(model, loss))
    found = torch.stack(found)
    return found.mean(0), found.std(0) / chunks**0.5


@pytest.mark.parametrize("latent_dim", [1, 2])
@pytest.mark.parametrize("num_samples", [2, 4])
def test_the_score_function_gradient_is_the_exact_elbos_in_expectation(latent_dim, num_samples, float64):
    model, image = make(latent_dim, num_samples=num_samples)
    elbo, evidence = exact_elbo(model, image)
    assert elbo < evidence
    mean, error = estimates(model, image)
    exact = gradients(model, -elbo)
    assert ((mean - exact).abs() < 5 * error + 1e-12).all()
    assert error.max() < 0.1 * exact.abs().max(), "the bound says something"


def test_without_its_score_the_gradient_would_miss_the_encoder(float64, monkeypatch):
    model, image = make()
    monkeypatch.setattr(model, "score", lambda distortion, log_q: 0.0)
    mean, error = estimates(model, image)
    assert ((mean - gradients(model, -exact_elbo(model, image)[0])).abs() > 20 * error + 1e-6).any()


def test_the_baseline_lowers_the_variance(float64, monkeypatch):
    model, image = make()
    _, error = estimates(model, image, 4000)
    monkeypatch.setattr(model, "score", lambda distortion, log_q: (distortion * (log_q - log_q.detach())).mean())
    _, without = estimates(model, image, 4000)
    assert without.norm() > 1.5 * error.norm()


def test_the_relaxed_gradient_is_biased_and_the_bias_falls_with_the_temperature(float64):
    """At 1 and 0.5 it is off by many standard errors; at 0.1 by less than a fifth of the bias at 1."""
    exact = gradients(*(lambda model, image: (model, -exact_elbo(model, image)[0]))(*make()))
    biases = {}
    for temperature in (1.0, 0.5, 0.1):
        model, image = make(**RELAXED | {"temperature": temperature})
        mean, error = estimates(model, image)
        biases[temperature] = ((mean - exact).norm() / exact.norm()).item()
        assert (biases[temperature] > 10 * (error.norm() / exact.norm())) == (temperature >= 0.5)
    assert biases[1.0] > biases[0.5] > biases[0.1]
    assert biases[0.1] < 0.2 * biases[1.0]


@pytest.mark.parametrize("options", [{}, RELAXED | {"temperature": 1.0}])
def test_bounds_lie_below_the_evidence_and_rise_with_k(options, float64):
    """The k-sample bound of the parent, on counts; the loss in evaluation is the ELBO of exact counts whatever the gradient."""
    model, image = make(**options)
    with torch.no_grad():
        elbo, evidence = (value.item() for value in exact_elbo(model, image))
        model.eval()
        count = 4000
        images, noise = image.expand(count, -1, -1, -1), IndexedNoise(5, range(count))
        bounds = {k: model.log_prob(images, noise=noise, num_samples=k) for k in (1, 8)}
        terms = model.negative_elbo(images, None, noise)
    means = {k: (bound.mean().item(), bound.std().item() / count**0.5) for k, bound in bounds.items()}
    assert abs(means[1][0] - elbo) < 5 * means[1][1]
    assert elbo + 5 * means[8][1] < means[8][0] < evidence + 5 * means[8][1]
    assert terms["loss"].item() == pytest.approx((terms["distortion"] + terms["rate"]).item())
    assert abs(-terms["loss"].item() - elbo) < 5 * means[1][1]


def test_rates_are_relative_to_the_priors_and_bounded(float64):
    model, image = make(max_rate=3.0)
    with torch.no_grad():
        model.encoder.layers[-1].weight.zero_()
        model.encoder.layers[-1].bias.copy_(torch.tensor([0.0, 50.0]))
        q, p = model.posterior(image), model.prior()
    assert isinstance(p, Poisson)
    assert q.log_rate[0, 0] == p.log_rate[0], "an encoder that says nothing leaves the prior"
    assert q.mean[0, 1] == pytest.approx(3.0)
    assert (model.bounded(torch.linspace(-50, 50, 101)).mean <= 3.0 + 1e-12).all()


def test_enough_events_are_followed():
    for rate in (0.1, 1.0, 20.0, 500.0):
        count = likely_events(rate)
        assert torch.special.gammainc(torch.tensor(count + 1.0).double(), torch.tensor(rate).double()) < 1e-6
        assert torch.special.gammainc(torch.tensor(float(count)).double(), torch.tensor(rate).double()) > 1e-6


def test_the_temperature_falls_from_one(float64):
    model, _ = make(**RELAXED | {"temperature": 0.2, "temperature_images": 100})
    falls = []
    for model.images_seen in (0, 50, 100, 500):
        falls.append(model.temperature)
    assert falls == pytest.approx([1.0, 0.6, 0.2, 0.2])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_samples": 1}, "model.num_samples: expected at least 2, got 1"),
        ({"gradient": "relaxed"}, "model.temperature: expected a number above 0 and at most 1 for the relaxed gradient, got 0.0"),
        ({"temperature": 0.1}, "model.temperature: the score function has none; expected 0, got 0.1"),
        ({"temperature_images": 7}, "model.temperature_images: the score function has none; expected 0, got 7"),
        ({"max_rate": 501.0}, "model.max_rate: expected at most 500, got 501.0"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(options, message):
    with pytest.raises(UserError, match=message):
        make(**options)


@pytest.mark.parametrize("options", [{}, RELAXED])
def test_a_trained_posterior_beats_the_prior_as_the_posterior(options, fit):
    """In nats per test digit: the ELBO with the encoder's rates against that with the prior's, after 150 steps."""
    data = Digits(batch_size=64)
    torch.manual_seed(0)
    networks = {"encoder": {"class_path": "MLPEncoder", "hidden": [64]}, "decoder": {"class_path": "MLPDecoder", "hidden": [64]}}
    context = {"num_bits": data.num_bits, "likelihood": "DiscretizedLogistic", "learning_rate": 0.003}
    model = PoissonVAE(list(data.data_shape), latent_dim=16, **networks, **context, **options)
    fit(model, data, batches=15, max_epochs=10)
    images, _ = data.batch("test", range(256))
    noise = IndexedNoise(0, range(256))
    with model.inference():
        elbo = model.log_prob(images, noise=noise).mean()
        z = model.draw_latents(noise)
        uninformed = model.likelihood.log_prob(model.likelihood_parameters(z), model.likelihood.target(images, noise)).mean()
    assert elbo > uninformed + 10
