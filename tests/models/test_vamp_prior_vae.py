"""The VampPrior: a mixture of the encoder's own posteriors, with a gradient to every pseudo-input."""

import math

import pytest
import torch
from torch.distributions import Normal

from lightning_gen.errors import UserError
from lightning_gen.models import VampPriorVAE
from lightning_gen.noise import IndexedNoise

MLP = {"encoder": {"class_path": "MLPEncoder", "hidden": [9]}, "decoder": {"class_path": "MLPDecoder", "hidden": [9]}}


def small(shape=(1, 4, 4), count=5, **options):
    torch.manual_seed(0)
    return VampPriorVAE(list(shape), latent_dim=3, num_pseudo_inputs=count, **MLP, **options)


def images(count=6):
    return torch.randint(0, 256, (count, 1, 4, 4), dtype=torch.uint8)


def test_the_prior_is_the_mean_of_the_posteriors_of_its_pseudo_inputs(float64):
    model, z = small(), torch.randn(7, 3)
    densities = []
    for u in model.pseudo_inputs.values:
        mean, log_scale = model.encoder(u.unsqueeze(0)).chunk(2, dim=-1)
        densities.append(Normal(mean, log_scale.exp()).log_prob(z).sum(-1).exp())
    torch.testing.assert_close(model.prior().log_prob(z), torch.stack(densities).mean(0).log())


def test_a_pseudo_input_that_is_an_image_contributes_its_posterior(float64):
    model, z, (image,) = small(count=1), torch.randn(7, 3), images(1)
    with torch.no_grad():
        model.pseudo_inputs.values.copy_(image / 255)
    torch.testing.assert_close(model.prior().log_prob(z), model.posterior(image.unsqueeze(0)).log_prob(z))


def test_gradients_reach_every_pseudo_input_and_differ(float64):
    model = small()
    model.negative_elbo(images(), None, IndexedNoise(0, range(6)))["loss"].backward()
    rows = model.pseudo_inputs.values.grad.flatten(1)
    assert (rows != 0).any(1).all()
    assert (torch.cdist(rows, rows) + torch.eye(5) > 1e-6).all()


def test_the_encoder_learns_through_the_prior_too(float64):
    model = small()
    model.prior().log_prob(torch.randn(7, 3)).sum().backward()
    assert all((parameter.grad != 0).any() for parameter in model.encoder.parameters())


def initial(model, batch, start=0):
    with torch.no_grad():
        model.initialize_from_data((batch, None), IndexedNoise(0, range(start, start + len(batch))))
    return model.pseudo_inputs.values.detach()


def test_they_start_near_the_first_images_all_different_however_few_there_are():
    batch = images(4)
    values = initial(small(count=11), batch)
    difference = values - (batch / 255).repeat(3, 1, 1, 1)[:11]
    assert 0 < difference.abs().max() < 0.6
    assert (torch.cdist(values.flatten(1), values.flatten(1)) + torch.eye(11) > 0.1).all()


def test_vectors_start_near_the_first_vectors_wherever_they_are():
    batch = 100 + 50 * torch.randn(4, 2)
    values = initial(small((2,), count=4), batch)
    assert 0 < (values - batch).abs().max() < 0.6


def test_more_images_than_pseudo_inputs_leave_some_out():
    batch = images(9)
    assert torch.equal(initial(small(count=5), batch), initial(small(count=5), batch)[:5])
    assert torch.equal(initial(small(count=5, initial_noise=0.0), batch), batch[:5] / 255)


def test_the_prior_is_computed_once_however_many_samples_a_likelihood_takes():
    model, calls = small(), []
    prior = model.prior
    model.prior = lambda labels=None: (calls.append(1), prior(labels))[1]
    with torch.no_grad():
        assert model.log_prob(images(), noise=IndexedNoise(0, range(6)), num_samples=100).isfinite().all()
    assert len(calls) == 1


def test_samples_come_from_the_pseudo_inputs_posteriors(float64):
    model, count = small(), 20_000
    with torch.no_grad():
        z = model.draw_latents(IndexedNoise(0, range(count)))
        mean = model.infer(model.pseudo_inputs.values).mean.mean(0)
    assert ((z.mean(0) - mean).abs() < 5 * z.std(0) / math.sqrt(count)).all()


def test_labels_are_refused():
    with pytest.raises(UserError, match=r"model\.conditional: pseudo-inputs have no labels; expected false, got true"):
        small(num_classes=3, conditional=True)
