"""Two stochastic layers, by hand and on a linear-Gaussian model where log p(x) is known; with the posterior of either direction."""

import math

import pytest
import torch
from linear_gaussian import Linear, bounds, error
from torch.distributions import MultivariateNormal, Normal

from lightning_gen.errors import UserError
from lightning_gen.models import HierarchicalVAE, LadderVAE
from lightning_gen.noise import IndexedNoise

CLASSES = [HierarchicalVAE, LadderVAE]
UPPER = {"upper_encoder": {"class_path": "MLPEncoder", "hidden": [7]}, "upper_decoder": {"class_path": "MLPDecoder", "hidden": [7]}}


@pytest.fixture(params=CLASSES)
def cls(request):
    return request.param


def small(cls, **options):
    torch.manual_seed(0)
    return cls([1, 4, 4], latent_dim=4, upper_latent_dim=3, **UPPER, **options).double()


def images(count=5):
    return torch.randint(0, 256, (count, 1, 4, 4), dtype=torch.uint8)


def normal(parameters):
    mean, log_scale = parameters.chunk(2, dim=-1)
    return Normal(mean, log_scale.exp())


def log_density(distribution, h):
    return distribution.log_prob(h).sum(-1)


def posteriors_by_hand(model, x, h_1, h_2):
    """log q of the two layers."""
    upward = model.encoder(x)
    if not isinstance(model, LadderVAE):
        return log_density(normal(upward), h_1), log_density(normal(model.upper_encoder(h_1)), h_2)
    evidence, prior = normal(upward), normal(model.upper_decoder(h_2))
    precision = 1 / evidence.variance + 1 / prior.variance
    mean = (evidence.mean / evidence.variance + prior.mean / prior.variance) / precision
    return log_density(Normal(mean, precision.rsqrt()), h_1), log_density(normal(model.upper_encoder(upward)), h_2)


@pytest.mark.parametrize("k", [1, 6])
def test_the_log_weights_are_the_sum_of_five_densities(cls, k, float64):
    model, batch, noise = small(cls, num_samples=k), images(), IndexedNoise(0, range(5))
    posterior, target = model.posterior(batch).repeated(), model.likelihood.target(batch, noise)
    z = posterior.sample(noise, "z", (k, 7))
    found = model.weigh(z, posterior, model.prior(), target, None)
    for j in range(k):
        h_1, h_2 = z[:, j].split([4, 3], dim=-1)
        q_1, q_2 = posteriors_by_hand(model, batch.double() / 255, h_1, h_2)
        p_1, p_2 = log_density(normal(model.upper_decoder(h_2)), h_1), log_density(Normal(0.0, 1.0), h_2)
        likelihood = model.likelihood.log_prob(model.decoder(h_1), target)
        torch.testing.assert_close(found.log_weights[:, j], likelihood + p_1 + p_2 - q_1 - q_2)
        torch.testing.assert_close(found.rate_terms[:, j], torch.stack([q_1 - p_1, q_2 - p_2], dim=-1))


def test_the_rates_of_the_layers_sum_to_the_rate(cls, float64):
    terms = small(cls).negative_elbo(images(), None, IndexedNoise(0, range(5)))
    torch.testing.assert_close(terms["rate_1"] + terms["rate_2"], terms["rate"])
    torch.testing.assert_close(terms["distortion"] + terms["rate"], terms["loss"])


def test_a_second_layer_that_has_collapsed_has_no_rate(float64):
    model = small(HierarchicalVAE)
    with torch.no_grad():
        for parameter in model.upper_encoder.parameters():
            parameter.zero_()
    assert model.negative_elbo(images(), None, IndexedNoise(0, range(5)))["rate_2"].item() == pytest.approx(0, abs=1e-14)


def test_both_parts_of_z_are_named_and_only_the_first_reaches_the_image(cls):
    model = small(cls).float()
    assert model.latent_shapes == {"h_1": (4,), "h_2": (3,)}
    z = torch.randn(2, 7)
    changed = torch.cat([z[:, :4], torch.randn(2, 3)], dim=1)
    assert torch.equal(model.decode(z), model.decode(changed))
    assert not torch.equal(model.decode(z), model.decode(z.flip(0)))


def test_every_draw_can_be_scored_under_every_images_posterior(cls, float64):
    """As the aggregate posterior needs it."""
    model, batch = small(cls), images()
    posterior = model.posterior(batch)
    z = posterior.sample(IndexedNoise(0, range(5)), "z", (7,))
    table = posterior.log_prob(z.unsqueeze(1))
    for j in range(5):
        torch.testing.assert_close(table[:, j], model.posterior(batch[[j]]).log_prob(z))


def test_drawn_latents_follow_the_prior_downwards(cls, float64):
    model, noise = small(cls), IndexedNoise(0, range(50))
    h_1, h_2 = model.draw_latents(noise).detach().split([4, 3], dim=-1)
    conditional = normal(model.upper_decoder(h_2).detach())
    epsilon = (h_1 - conditional.mean) / conditional.scale
    for drawn in (h_2, epsilon):
        assert abs(float(drawn.mean())) < 5 / math.sqrt(drawn.numel())
        assert abs(float(drawn.square().mean()) - 1) < 5 * math.sqrt(2 / drawn.numel())


# On a linear-Gaussian model.


class LinearNetworks:
    """h_2 ~ N(0, I), h_1 = A h_2 + a + noise, x = W h_1 + b + noise; the posterior's networks are linear as well."""

    def build_encoder(self, spec, latent_dim):
        return Linear(self.data_shape[0], 2 * latent_dim)

    def build_decoder(self, spec, latent_dim):
        return Linear(latent_dim, self.data_shape[0])

    def build_upper_encoder(self, spec):
        lower, upper = self.sizes
        return Linear((2 if isinstance(self, LadderVAE) else 1) * lower, 2 * upper)

    def build_upper_decoder(self, spec):
        lower, upper = self.sizes
        return Linear(upper, 2 * lower)

    def evidence(self, x):
        """log p(x)."""
        a, log_scale = self.upper_decoder.linear.weight[:3], self.upper_decoder.linear.bias[3:]
        shift, w = self.upper_decoder.linear.bias[:3], self.decoder.linear.weight
        sigma = self.likelihood.min_scale + self.likelihood.log_scale.exp()
        covariance = w @ (a @ a.T + torch.diag((2 * log_scale).exp())) @ w.T + sigma**2 * torch.eye(len(w))
        return MultivariateNormal(w @ shift + self.decoder.linear.bias, covariance).log_prob(x)


class LinearHierarchical(LinearNetworks, HierarchicalVAE):
    pass


class LinearLadder(LinearNetworks, LadderVAE):
    pass


def linear(cls):
    """A generative model with a posterior that is near enough for its weights to have a small variance."""
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(1)
    model = cls([4], latent_dim=3, upper_latent_dim=2).double().requires_grad_(False)
    model.likelihood.log_scale.copy_(math.log(0.8))
    model.decoder.linear.weight.mul_(0.6)
    down = model.upper_decoder.linear
    down.weight[3:].zero_()  # constant scales of h_1 given h_2: the marginal of x is normal
    down.bias[3:].fill_(-0.3)
    for network in (model.encoder, model.upper_encoder):
        network.linear.weight.mul_(0.3)
        network.linear.bias.mul_(0.3)
    return model


@pytest.fixture(params=[LinearHierarchical, LinearLadder])
def model(request):
    return linear(request.param)


@pytest.fixture
def x():
    return 0.5 * torch.randn(4, 4, dtype=torch.float64)


def test_the_weights_average_to_p_of_x(model, x):
    weights = (bounds(model, x, 1, 20_000) - model.evidence(x)).exp()
    assert ((weights.mean(0) - 1).abs() < 5 * error(weights)).all()
    assert (error(weights) < 0.05).all()


def test_the_bounds_tighten_up_to_log_p_of_x(model, x):
    values = [bounds(model, x, k, 3000) for k in (1, 5, 32)]
    for looser, tighter in zip(values, values[1:], strict=False):
        assert (tighter.mean(0) - looser.mean(0) > 5 * (error(looser) + error(tighter))).all()
    assert (values[-1].mean(0) < model.evidence(x) + 5 * error(values[-1])).all()


def test_the_loss_is_minus_the_bound_in_expectation(model, x):
    losses = torch.stack([model.negative_elbo(x, None, IndexedNoise(seed, range(4)))["loss"] for seed in range(800)])
    values = bounds(model, x, 1, 3000).mean(1)
    assert abs(float(losses.mean() + values.mean())) < 5 * math.hypot(error(losses), error(values))


# What is refused.


def test_the_doubly_reparameterised_gradient_is_refused(cls):
    with pytest.raises(UserError, match=r"model\.gradient: expected standard where one layer is drawn given another, got doubly_repara"):
        small(cls, gradient="doubly_reparameterized")


@pytest.mark.parametrize("key", ["latent_dim", "upper_latent_dim"])
def test_a_layer_without_dimensions_is_refused(cls, key):
    with pytest.raises(UserError, match=rf"model\.{key}: expected at least 1, got 0"):
        cls([1, 4, 4], **{key: 0})
