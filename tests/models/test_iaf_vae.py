"""The VAE with an inverse autoregressive flow as its posterior: bounds on a linear-Gaussian model, and the plain VAE as a special case."""

import pytest
import torch
from linear_gaussian import LinearNetworks, LinearVAE, bounds, error, make_exact, make_inexact, make_linear

from lightning_gen.errors import UserError
from lightning_gen.models import IAFVAE
from lightning_gen.noise import IndexedNoise


class LinearIAFVAE(LinearNetworks, IAFVAE):
    """Its encoder says nothing to the flow."""

    def build_encoder(self, spec, latent_dim):
        encoder = super().build_encoder(spec, latent_dim)
        encoder.register_forward_hook(lambda _, __, output: torch.cat([output, output[:, :1]], dim=1))
        return encoder


def make(open_gates=False):
    model = make_linear(LinearIAFVAE, num_steps=2, flow_hidden=[6], context_features=1)
    for step in model.flow.bijections:
        if open_gates:
            step.network.layers[-1].bias[:2] = 50.0
        else:
            for parameter in step.network.parameters():
                parameter.add_(0.5 * torch.randn_like(parameter))
    return make_exact(model) if open_gates else make_inexact(model)


@pytest.fixture
def x():
    return torch.randn(5, 4, dtype=torch.float64)


def test_more_samples_tighten_the_bound_up_to_log_p_of_x(x):
    model = make()
    values = [bounds(model, x, k, 2000) for k in (1, 10, 40)]
    for looser, tighter in zip(values, values[1:], strict=False):
        assert (tighter.mean(0) - looser.mean(0) > 3 * (error(looser) + error(tighter))).all()
    assert (values[-1].mean(0) < model.evidence(x) + 5 * error(values[-1])).all()


def test_the_training_loss_has_the_elbo_as_its_expectation(x):
    model = make()
    losses = torch.stack([model.negative_elbo(x, None, IndexedNoise(seed, range(5)))["loss"] for seed in range(200)])
    elbo = bounds(model, x, 1, 2000)
    assert abs(float(losses.mean() + elbo.mean())) < 5 * float(error(losses) + error(elbo.mean(1)))


def test_with_open_gates_it_is_the_vae_draw_by_draw(x):
    model, plain = make(open_gates=True), make_exact(make_linear(LinearVAE, kl_estimator="monte_carlo"))
    plain.load_state_dict({name: value for name, value in model.state_dict().items() if not name.startswith("flow")})
    ours, theirs = (m.negative_elbo(x, None, IndexedNoise(0, range(5))) for m in (model, plain))
    for name, value in theirs.items():
        torch.testing.assert_close(ours[name], value, rtol=1e-12, atol=0)
    torch.testing.assert_close(model.encode(x), plain.encode(x))
    torch.testing.assert_close(bounds(model, x, 10, 20), bounds(plain, x, 10, 20))


def test_it_starts_with_gates_that_are_nearly_open():
    model = IAFVAE([1, 4, 4], latent_dim=3)
    posterior = model.posterior(torch.zeros(2, 1, 4, 4, dtype=torch.uint8))
    expected = torch.sigmoid(torch.tensor(2.0)) ** 4 * posterior.base.mean
    torch.testing.assert_close(posterior.mean, expected)


def test_there_is_no_closed_form():
    with pytest.raises(UserError, match=r"model\.kl_estimator: expected monte_carlo for IAFVAE, got 'closed_form'"):
        IAFVAE([4], kl_estimator="closed_form")
