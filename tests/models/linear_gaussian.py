"""Linear-Gaussian latent-variable models, of which log p(x) and the posterior are known, and what is asked of their bounds."""

import math

import torch
from torch import nn
from torch.distributions import MultivariateNormal

from lightning_gen.distributions.normal import DiagonalNormal
from lightning_gen.models import VAE
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


class LinearNetworks:
    """For any model with Gaussian z and x: x = W z + b + noise, so that p(x) and p(z|x) are normal."""

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


class LinearVAE(LinearNetworks, VAE):
    pass


def make_linear(cls=LinearVAE, **options):
    torch.set_default_dtype(torch.float64)
    model = cls([4], latent_dim=2, **options).double().requires_grad_(False)
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


def bounds(model, x, k, repeats=REPEATS):
    """The k-sample bound of each x for many draws of the noise, ``(repeats, B)``."""
    return model.log_prob(x.repeat(repeats, 1), noise=IndexedNoise(0, range(repeats * len(x))), num_samples=k).view(repeats, len(x))


def error(values):
    return values.std(0) / math.sqrt(len(values))
