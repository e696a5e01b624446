"""The VAE's bounds, on a linear-Gaussian model where log p(x) and the posterior are known."""

import math

import pytest
import torch
from linear_gaussian import LinearVAE, bounds, error, make_exact, make_inexact, make_linear

from lightning_gen.distributions.normal import DiagonalNormal, FullNormal
from lightning_gen.errors import UserError
from lightning_gen.models import VAE
from lightning_gen.models.autoencoders.latent_variable_model import SAMPLES_AT_ONCE
from lightning_gen.noise import IndexedNoise


@pytest.fixture
def x():
    return torch.randn(5, 4, dtype=torch.float64)


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


# What the objective charges for the rate.


def small(**options):
    torch.manual_seed(0)
    return VAE([1, 4, 4], latent_dim=3, **options)


def some_images(count=5):
    return torch.randint(0, 256, (count, 1, 4, 4), dtype=torch.uint8)


@pytest.mark.parametrize(("seen", "weight"), [(0, 0.0), (250, 0.25), (1000, 1.0), (3000, 1.0)])
def test_the_weight_of_the_rate_rises_linearly_over_the_images_seen(seen, weight):
    model = small(kl_warmup_images=1000)
    model.images_seen = seen
    terms = model.negative_elbo(some_images(), None, IndexedNoise(0, range(5)))
    assert terms["loss"].item() == pytest.approx((terms["distortion"] + weight * terms["rate"]).item(), rel=1e-6)


def test_free_bits_charge_each_dimensions_mean_but_never_less_than_them():
    rate = torch.tensor([[0.1, 0.0, 2.0], [0.3, 1.0, 4.0]], requires_grad=True)
    price = small(free_bits=0.4).price(rate)
    price.backward()
    assert price.item() == pytest.approx(0.4 + 0.5 + 3.0)
    # A dimension below the free bits is not pushed further down; the others are, as ever.
    assert rate.grad.tolist() == [[0.0, 0.5, 0.5], [0.0, 0.5, 0.5]]


def test_free_bits_change_neither_the_terms_that_are_logged_nor_the_likelihood():
    plain, free = small(), small(free_bits=10.0)
    x, noise = some_images(), IndexedNoise(0, range(5))
    one, other = plain.negative_elbo(x, None, noise), free.negative_elbo(x, None, noise)
    assert (one["rate"], one["distortion"]) == (other["rate"], other["distortion"])
    assert other["loss"].item() == pytest.approx(30 + one["distortion"].item(), rel=1e-6)
    assert torch.equal(plain.log_prob(x, noise=noise, num_samples=3), free.log_prob(x, noise=noise, num_samples=3))


# Full covariance.


def rotated():
    """A linear-Gaussian model whose posterior has correlated dimensions."""
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    model = LinearVAE([4], latent_dim=2).double().requires_grad_(False)
    model.likelihood.log_scale.copy_(math.log(0.5))
    model.decoder.linear.weight.copy_(torch.tensor([[1.0, 0.8], [0.5, 0.9], [0.0, 0.3], [0.7, 0.7]]))
    return model


def log_weights(model, posterior, x, k):
    """Of k draws from a posterior for each x, ``(B, k)``."""
    z = posterior.repeated().sample(IndexedNoise(0, range(len(x))), "z", (k, model.latent_dim))
    return model.weigh(z, posterior.repeated(), model.prior(), x, None).log_weights


def test_with_the_exact_full_covariance_every_draw_is_log_p_of_x_and_a_diagonal_falls_short(x):
    model = rotated()
    precision = torch.eye(2) + model.w.T @ model.w / model.sigma**2
    covariance = torch.linalg.inv(precision)
    mean = (x - model.decoder.linear.bias) @ model.w / model.sigma**2 @ covariance
    scale_tril = torch.linalg.cholesky(covariance).expand(len(x), -1, -1)
    exact = log_weights(model, FullNormal(mean, scale_tril), x, 10)
    torch.testing.assert_close(exact, model.evidence(x).unsqueeze(1).expand(-1, 10), rtol=1e-11, atol=0)
    best_diagonal = DiagonalNormal(mean, -0.5 * precision.diagonal().log().expand_as(mean))
    elbo = log_weights(model, best_diagonal, x, 20_000).mean(1)
    assert (elbo < model.evidence(x) - 0.05).all()


def test_vectors_are_taken_in_the_models_type():
    model = VAE([2], latent_dim=3).double()
    x = torch.randn(4, 2, dtype=torch.float32)
    with model.inference():
        assert model.log_prob(x, noise=IndexedNoise(0, range(4))).dtype == torch.float64
