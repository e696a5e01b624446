"""The learned mixture as a prior: it is the one of the bound and of the samples, and it fits what a single normal cannot."""

import math

import torch
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

from lightning_gen.models import MixturePriorVAE
from lightning_gen.noise import IndexedNoise


def small(**options):
    torch.manual_seed(0)
    model = MixturePriorVAE([1, 4, 4], latent_dim=3, num_components=5, **options).double()
    with torch.no_grad():
        for parameter in model.mixture.parameters():
            parameter.add_(0.5 * torch.randn_like(parameter))
    return model


def reference(mixture):
    return MixtureSameFamily(Categorical(logits=mixture.logits), Independent(Normal(mixture.means, mixture.log_scales.exp()), 1))


def test_the_rate_is_the_log_ratio_to_the_mixture(float64):
    model, noise = small(), IndexedNoise(0, range(6))
    images = torch.randint(0, 256, (6, 1, 4, 4), dtype=torch.uint8)
    terms, posterior = model.negative_elbo(images, None, noise), model.posterior(images)
    z = posterior.transform(noise.normal("z", (3,)))
    torch.testing.assert_close(terms["rate"], (posterior.log_prob(z) - reference(model.mixture).log_prob(z)).mean())
    torch.testing.assert_close(terms["loss"], terms["distortion"] + terms["rate"])


def test_latents_are_drawn_from_the_mixture(float64):
    model, count = small(), 20_000
    with torch.no_grad():
        z, expected = model.draw_latents(IndexedNoise(0, range(count))), reference(model.mixture)
    assert ((z.mean(0) - expected.mean).abs() < 5 * z.std(0) / math.sqrt(count)).all()
    assert ((z.var(0) / expected.variance - 1).abs() < 0.1).all()


def test_averages_include_the_prior():
    model = small()
    model.create_ema()
    with torch.no_grad():
        for parameter in model.ema["mixture"].parameters():
            parameter.add_(1.0)
    z = torch.zeros(1, 3, dtype=torch.float64)
    with model.inference("ema"):
        averaged = model.prior().log_prob(z)
    with model.inference("live"):
        assert not torch.allclose(model.prior().log_prob(z), averaged)
