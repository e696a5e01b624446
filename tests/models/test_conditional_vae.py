"""The conditional VAE: a prior for each label, and a bound that holds with it."""

import pytest
import torch

from lightning_gen.errors import UserError
from lightning_gen.models import VAE, ConditionalVAE
from lightning_gen.noise import IndexedNoise

CLASSES = torch.tensor([0, 3, 1, 1])
ATTRIBUTES = torch.tensor([[0, 0], [1, 0], [0, 1], [1, 1]])


def images():
    return torch.randint(0, 256, (4, 1, 4, 4), dtype=torch.uint8)


def make(learned=True, **kind):
    model = ConditionalVAE([1, 4, 4], latent_dim=3, learned_prior=learned, **(kind or {"num_classes": 4})).double()
    if learned:
        with torch.no_grad():
            for parameter in model.prior_network.parameters():
                parameter.copy_(0.7 * torch.randn_like(parameter))
    return model


def test_without_a_learned_prior_it_is_the_conditional_vae_of_the_same_weights(float64):
    plain = VAE([1, 4, 4], latent_dim=3, num_classes=4, conditional=True).double()
    model = make(learned=False)
    model.load_state_dict(plain.state_dict())
    x, noise = images(), IndexedNoise(0, range(4))
    assert torch.equal(model.log_prob(x, labels=CLASSES, noise=noise), plain.log_prob(x, labels=CLASSES, noise=noise))
    assert torch.equal(model.sample(4, labels=CLASSES), plain.sample(4, labels=CLASSES))


@pytest.mark.parametrize(
    ("labels", "kind"), [(CLASSES, {"num_classes": 4}), (ATTRIBUTES, {"num_attributes": 2})], ids=["class", "attributes"]
)
def test_the_prior_is_a_normal_of_the_labels(labels, kind, float64):
    model = make(**kind)
    prior = model.prior(labels)
    assert prior.mean.shape == (4, 3)
    assert torch.equal(model.prior(labels[[1]]).mean[0], prior.mean[1])
    assert torch.equal(prior.mean[2], prior.mean[3]) == torch.equal(labels[2], labels[3])
    draws = torch.stack([model.draw_latents(IndexedNoise(seed, range(4)), labels=labels) for seed in range(4000)])
    assert ((draws.mean(0) - prior.mean).abs() < 5 * prior.log_scale.exp() / 4000**0.5).all()


@pytest.mark.parametrize("k", [1, 3])
def test_the_bound_is_the_log_mean_of_the_weights_with_each_images_own_prior(k, float64):
    model, x, noise = make(), images(), IndexedNoise(0, range(4))
    found = model.log_prob(x, labels=CLASSES, noise=noise, num_samples=k)
    posterior, prior = model.posterior(x, CLASSES), model.prior(CLASSES)
    epsilon, target = noise.normal("z/0", (k, 3)), model.likelihood.target(x, noise)
    weights = []
    for draw in range(k):
        z = posterior.transform(epsilon[:, draw])
        joint = model.likelihood.log_prob(model.decoder(z, CLASSES), target) + prior.log_prob(z)
        weights.append((joint - posterior.log_prob(z)).exp())
    torch.testing.assert_close(found, torch.stack(weights).mean(0).log(), rtol=1e-10, atol=0)


def test_the_rate_is_to_the_prior_of_the_label(float64):
    model, x = make(), images()
    rate = model.negative_elbo(x, CLASSES, IndexedNoise(0, range(4)))["rate"]
    torch.testing.assert_close(rate, model.posterior(x, CLASSES).kl(model.prior(CLASSES)).mean())
    assert all((gradient != 0).any() for gradient in torch.autograd.grad(rate, list(model.prior_network.parameters())))


def test_a_learned_prior_is_averaged_with_the_networks():
    model = make()
    model.create_ema()
    with torch.no_grad():
        for parameter in model.ema["prior_network"].parameters():
            parameter.zero_()
    with model.inference("ema"):
        assert (model.prior(CLASSES).mean == 0).all()
    assert (model.prior(CLASSES).mean != 0).any()


def test_it_cannot_go_without_labels():
    with pytest.raises(UserError, match=r"model\.conditional: ConditionalVAE needs the labels"):
        ConditionalVAE([1, 4, 4], num_classes=4, conditional=False)
    with pytest.raises(UserError, match="the data has no labels"):
        ConditionalVAE([1, 4, 4])


def test_the_priors_parameters_are_not_rounded_by_autocast():
    model = ConditionalVAE([1, 4, 4], latent_dim=3, learned_prior=True, num_attributes=2)
    with torch.autocast("cpu", torch.bfloat16):
        mean = model.prior(ATTRIBUTES).mean
    assert mean.dtype == torch.float32
    assert torch.equal(mean, model.prior(ATTRIBUTES).mean)
