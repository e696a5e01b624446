"""Small models whose latent spaces are known, and the digits."""

import torch
from torch import nn

from lightning_gen.analysis.latent_space import LatentSpace
from lightning_gen.data import Digits
from lightning_gen.distributions.normal import DiagonalNormal
from lightning_gen.images import from_unit, to_unit
from lightning_gen.models.base import GenerativeModel


class Coder(GenerativeModel):
    """A linear autoencoder without a prior that remembers what it was asked to decode."""

    def __init__(self, data_shape: list[int], latent_dim: int = 3, num_classes: int = 0, conditional: bool = False) -> None:
        super().__init__(data_shape, num_classes=num_classes, conditional=conditional)
        weight = torch.randn(latent_dim, 64, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        self.weight = nn.Parameter(torch.linalg.qr(weight.T)[0].T * torch.arange(latent_dim, 0, -1).view(-1, 1))
        self.latent_shapes = {"z": (latent_dim,)}
        self.asked = []

    def encode(self, images, *, labels=None):
        assert (labels is not None) == self.conditional
        return to_unit(images).double().flatten(1) @ self.weight.T

    def decode(self, z, *, labels=None):
        assert (labels is not None) == self.conditional
        self.asked.append((z, labels))
        return from_unit((z @ self.weight).view(-1, 1, 8, 8))


class KnownPosterior(Coder):
    """q(z|x) = N(m, I) with the same m for each image, hence a KL of m_d^2 / 2 in dimension d."""

    MEANS = torch.tensor([0.5, -3.0, 1.0], dtype=torch.float64)

    def encode(self, images, *, labels=None):
        return self.posterior(images).mean

    def posterior(self, images, labels=None):
        mean = self.MEANS.expand(len(images), -1)
        return DiagonalNormal(mean, torch.zeros_like(mean))

    def prior(self, labels=None):
        return DiagonalNormal.standard()

    def draw_latents(self, noise, *, labels=None):
        return self.prior(labels).sample(noise, "z", (3,))


def space_of(model, **options):
    """The latent space of a model on the digits, in float64."""
    return LatentSpace(model.double().eval(), Digits(batch_size=64), **options)


def asked(model):
    """All latents that were decoded since the last time."""
    z = torch.cat([z for z, _ in model.asked])
    model.asked.clear()
    return z


def lost(model, name="weight"):
    """The model with a NaN in each weight whose name ends so."""
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            if key.endswith(name):
                parameter.view(-1)[0] = torch.nan
    return model
