"""The VAE's bounds, on a linear-Gaussian model where log p(x) and the posterior are known."""

import math

import pytest
import torch
from torch import nn
from torch.distributions import MultivariateNormal

from lightning_gen.distributions.normal import DiagonalNormal
from lightning_gen.errors import UserError
from lightning_gen.models import VAE
from lightning_gen.models.autoencoders.vae import SAMPLES_AT_ONCE
from lightning_gen.nn.base import Decoder, Encoder
from lightning_gen.noise import IndexedNoise

REPEATS = 4000


class Linear(Encoder, Decoder):
    """One linear layer, as an encoder and as a decoder."""

    def __init__(self, in_features, out_features):
        nn.Module.__init__(self)
        self.linear = nn.Linear(in_features, out_features)

    def forward(self, x, labels=None):
        return self.linear(x)


class LinearVAE(VAE):
    """x = W z + b + noise, so that p(x) and p(z|x) are normal."""

    def build_encoder(self, spec, latent_dim):
        return Linear(self.data_shape[0], 2 * latent_dim)

    def build_decoder(self, spec, latent_dim):
        return Linear(latent_dim, self.data_shape[0])

    @property
    def w(self):
        return self.decoder.linear.weight

    @property
    def sigma(self):
        return self.likelihood.min_scale + self.likelihood.log_scale.exp()

    def evidence(self, x):
        """log p(x)."""
        return MultivariateNormal(self.decoder.linear.bias, self.w @ self.w.T + self.sigma**2 * torch.eye(len(self.w))).log_prob(x)

    def exact_posterior(self, x):
        """p(z|x), diagonal where the columns of W are orthogonal."""
        precision = (self.w.square().sum(0) / self.sigma**2) + 1
        mean = (x - self.decoder.linear.bias) @ self.w / self.sigma**2 / precision
        return DiagonalNormal(mean, -0.5 * precision.log().expand(len(x), -1))


def make_linear(**options):
    torch.set_default_dtype(torch.float64)
    model = LinearVAE([4], latent_dim=2, **options).double().requires_grad_(False)
    model.likelihood.log_scale.copy_(math.log(0.5))
    model.decoder.linear.weight.copy_(torch.linalg.qr(torch.randn(4, 2))[0] * torch.tensor([1.5, 0.7]))
    return model


def make_exact(model):
    """Set the encoder to the posterior."""
    zero = model.exact_posterior(torch.zeros(1, 4))
    slope = model.exact_posterior(torch.eye(4)).mean - zero.mean
    model.encoder.linear.weight.copy_(torch.cat([slope.T, torch.zeros(2, 4)]))
    model.encoder.linear.bias.copy_(torch.cat([zero.mean[0], zero.log_scale[0]]))
    return model


def make_inexact(model):
    """Set the encoder to something near the posterior: shifted and too wide."""
    make_exact(model)
    model.encoder.linear.bias.add_(torch.tensor([0.3, -0.2, 0.2, 0.3]))
    return model


@pytest.fixture
def x():
    return torch.randn(5, 4, dtype=torch.float64)


def bounds(model, x, k, repeats=REPEATS):
    """The k-sample bound of each x for many draws of the noise, ``(repeats, B)``."""
    return model.log_prob(x.repeat(repeats, 1), noise=IndexedNoise(0, range(repeats * len(x))), num_samples=k).view(repeats, len(x))


def error(values):
    return values.std(0) / math.sqrt(len(values))


@pytest.mark.parametrize("k", [1, 2, 40])
def test_with_the_exact_posterior_every_draw_of_every_bound_is_log_p_of_x(x, k):
    model = make_exact(make_linear())
    torch.testing.assert_close(bounds(model, x, k, 10), model.evidence(x).expand(10, -1), rtol=1e-11, atol=0)


def test_with_the_exact_posterior_the_loss_is_minus_log_p_of_x(x):
    model = make_exact(make_linear(kl_estimator="monte_carlo"))
    loss = model.negative_elbo(x, None, IndexedNoise(0, range(5)))["loss"]
    assert loss.item() == pytest.approx(-model.evidence(x).mean().item(), rel=1e-12)


def test_the_elbo_falls_short_of_log_p_of_x_by_the_kl_to_the_posterior(x):
    model = make_inexact(make_linear())
    gap = model.posterior(x).kl(model.exact_posterior(x))
    values = bounds(model, x, 1, 20_000)
    assert (gap > 0.05).all()
    assert ((values.mean(0) - (model.evidence(x) - gap)).abs() < 5 * error(values)).all()


def test_more_samples_tighten_the_bound_up_to_log_p_of_x(x):
    model = make_inexact(make_linear())
    values = [bounds(model, x, k) for k in (1, 3, 10, 40)]
    for looser, tighter in zip(values, values[1:], strict=False):
        assert (tighter.mean(0) - looser.mean(0) > 3 * (error(looser) + error(tighter))).all()
    assert (values[-1].mean(0) < model.evidence(x) + 5 * error(values[-1])).all()


def test_the_k_sample_bound_converges_to_log_p_of_x(x):
    model = make_inexact(make_linear())
    k = 20_000
    (found,) = bounds(model, x, k, repeats=1)
    # The variance of the weights p(z|x) / q(z|x), estimated from independent draws.
    weights = (bounds(model, x, 1) - model.evidence(x)).exp()
    assert ((weights.mean(0) - 1).abs() < 5 * error(weights)).all()
    assert ((found - model.evidence(x)).abs() < 5 * weights.std(0) / math.sqrt(k)).all()


def test_the_bound_is_the_log_mean_of_the_weights_of_different_draws(x):
    model = make_inexact(make_linear())
    k = 2 * SAMPLES_AT_ONCE
    short, whole = bounds(model, x, SAMPLES_AT_ONCE, 10), bounds(model, x, k, 10)
    # The first half of the weights is the same; the second half has to be new.
    second = torch.log(2 * whole.exp() - short.exp())
    assert (second - short).abs().min() > 1e-6
    assert ((second.mean(0) - short.mean(0)).abs() < 6 * (error(second) + error(short))).all()


@pytest.mark.parametrize("estimator", ["closed_form", "monte_carlo"])
def test_the_training_loss_has_the_elbo_as_its_expectation(x, estimator):
    model = make_inexact(make_linear(kl_estimator=estimator))
    elbo = model.evidence(x) - model.posterior(x).kl(model.exact_posterior(x))
    losses = torch.stack([model.negative_elbo(x, None, IndexedNoise(seed, range(5)))["loss"] for seed in range(2000)])
    assert abs(float(losses.mean() + elbo.mean())) < 5 * float(error(losses))


def test_the_two_kl_estimators_agree_in_expectation_and_the_closed_form_has_no_variance(x):
    closed, sampled = make_inexact(make_linear()), make_inexact(make_linear(kl_estimator="monte_carlo"))
    sampled.load_state_dict(closed.state_dict())
    rates = [torch.stack([m.negative_elbo(x, None, IndexedNoise(s, range(5)))["rate"] for s in range(2000)]) for m in (closed, sampled)]
    assert (rates[0] == rates[0][0]).all()
    assert rates[1].std() > 0.1
    assert abs(float(rates[1].mean() - rates[0][0])) < 5 * float(error(rates[1]))


def constant(shape=(1, 8, 8), mean=0.0, log_scale=0.0, **options):
    """A VAE whose decoder says 0 and whose posterior is the same for every image."""
    model = VAE(list(shape), latent_dim=3, **options).double().requires_grad_(False)
    for parameter in [*model.encoder.parameters(), *model.decoder.parameters()]:
        parameter.zero_()
    model.encoder.layers[-1].bias.copy_(torch.tensor([mean] * 3 + [log_scale] * 3))
    return model


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 5, 7)])
@pytest.mark.parametrize("count", [1, 6])
def test_the_loss_is_in_nats_summed_over_pixels_and_averaged_over_the_batch(shape, count, float64):
    model = constant(shape, mean=0.7, log_scale=-0.4, likelihood="Bernoulli", num_bits=1)
    images = 255 * torch.randint(0, 2, (count, *shape), dtype=torch.uint8)
    terms = model.negative_elbo(images, None, IndexedNoise(0, range(count)))
    assert terms["distortion"].item() == pytest.approx(math.prod(shape) * math.log(2), rel=1e-13)
    assert terms["rate"].item() == pytest.approx(3 * (0.4 + (math.exp(-0.8) + 0.49) / 2 - 0.5), rel=1e-13)
    assert terms["loss"].item() == pytest.approx(terms["distortion"].item() + terms["rate"].item(), rel=1e-13)


def test_a_batch_costs_the_mean_of_its_images(float64):
    model = VAE([1, 4, 4], latent_dim=3).double()
    images = torch.randint(0, 256, (5, 1, 4, 4), dtype=torch.uint8)
    whole = model.negative_elbo(images, None, IndexedNoise(0, range(5)))
    alone = [model.negative_elbo(images[[i]], None, IndexedNoise(0, [i])) for i in range(5)]
    for name, value in whole.items():
        torch.testing.assert_close(value, torch.stack([terms[name] for terms in alone]).mean())


def test_a_collapsed_posterior_costs_no_rate_and_its_likelihood_is_the_decoders(float64):
    model = constant(likelihood="Bernoulli", num_bits=1)
    images = 255 * torch.randint(0, 2, (4, 1, 8, 8), dtype=torch.uint8)
    assert model.negative_elbo(images, None, IndexedNoise(0, range(4)))["rate"].item() == 0
    for k in (1, 5):
        value = model.log_prob(images, noise=IndexedNoise(0, range(4)), num_samples=k)
        torch.testing.assert_close(value, torch.full((4,), -64 * math.log(2)), rtol=1e-13, atol=0)


def test_the_loss_is_differentiable_in_the_encoder_through_the_draw():
    model = VAE([1, 4, 4], latent_dim=3)
    terms = model.negative_elbo(torch.randint(0, 256, (5, 1, 4, 4), dtype=torch.uint8), None, IndexedNoise(0, range(5)))
    gradients = torch.autograd.grad(terms["distortion"], list(model.encoder.parameters()))
    assert all((gradient != 0).any() for gradient in gradients)


@pytest.mark.parametrize("estimator", ["closed_form", "monte_carlo"])
def test_bf16_ends_at_the_networks_outputs(estimator):
    model = VAE([1, 8, 8], latent_dim=50, kl_estimator=estimator)
    images, noise = torch.randint(0, 256, (16, 1, 8, 8), dtype=torch.uint8), IndexedNoise(0, range(16))
    with torch.autocast("cpu", torch.bfloat16):
        rate = model.negative_elbo(images, None, noise)["rate"]
        posterior = model.posterior(images)
    posterior = DiagonalNormal(posterior.mean.float(), posterior.log_scale.float())
    z = posterior.transform(noise.normal("z", (50,)))
    assert rate.dtype == torch.float32
    assert rate.item() == pytest.approx(model.rate(posterior, z).sum(-1).mean().item(), rel=1e-5)


def test_a_bound_is_called_a_bound():
    model = constant()
    assert [model.likelihood_kind(k) for k in (1, 2, 5000)] == ["lower bound", "k-sample bound", "k-sample bound"]
    assert VAE.density == "explicit bound"


def test_observation_noise_draws_from_the_likelihood_and_is_recorded():
    plain, noisy = constant(likelihood="Bernoulli", num_bits=1), constant(likelihood="Bernoulli", num_bits=1, observation_noise=True)
    assert plain.sample(100).unique().tolist() == [128]
    drawn = noisy.sample(100)
    assert drawn.unique().tolist() == [0, 255]
    assert abs(float((drawn > 0).double().mean()) - 0.5) < 5 * 0.5 / math.sqrt(drawn.numel())
    assert torch.equal(noisy.sample(100), drawn)
    assert [model.answer_options() for model in (plain, noisy)] == [{"observation_noise": False}, {"observation_noise": True}]


def test_without_observation_noise_a_sample_is_the_decoded_prior_draw():
    model = VAE([1, 4, 4], latent_dim=3)
    noise = IndexedNoise(5, range(20))
    with model.inference():
        assert torch.equal(model.sample_images(noise), model.decode(noise.normal("z", (3,))))


@pytest.mark.parametrize("latent_dim", [0, -2])
def test_a_latent_space_without_dimensions_is_refused(latent_dim):
    with pytest.raises(UserError, match=rf"model\.latent_dim: expected at least 1, got {latent_dim}"):
        VAE([1, 8, 8], latent_dim=latent_dim)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"likelihood": "Bernoulli"}, "Bernoulli needs binary images, got 8 bits"),
        ({"likelihood": "MLPEncoder"}, "unknown class|not a Likelihood"),
        ({"encoder": {"class_path": "MLPEncoder", "width": 3}}, r"model\.encoder\.width: unknown option of MLPEncoder"),
        ({"decoder": "ConvEncoder"}, r"model\.decoder.*not a Decoder"),
    ],
)
def test_networks_and_likelihoods_that_do_not_fit_are_refused_by_key(options, message):
    with pytest.raises(UserError, match=message):
        VAE([1, 8, 8], **options)


def test_the_learning_rate_falls_linearly_over_the_images_seen(tiny, fit):
    model = VAE([1, 8, 8], latent_dim=3, learning_rate=0.01, decay_images=64)
    for batches, factor in [(1, 0.75), (3, 0.25)]:
        model.images_seen = model.batches_seen = 0
        fit(model, tiny(), batches=batches)
        assert model.optimizers().param_groups[0]["lr"] == pytest.approx(0.01 * factor)
