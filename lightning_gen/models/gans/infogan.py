r"""InfoGAN (Chen et al., 2016, arXiv:1606.03657).

Implemented: categorical and continuous codes beside incompressible noise, and a recognition network Q on the discriminator's features that
maximises the lower bound of their mutual information with the image (Section 5); Q is a normal of unit variance for continuous codes, as
the authors' code has it for MNIST. The bound is maximised in both updates, again as in that code: Q moves with the discriminator.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, one_hot

from lightning_gen.models.base import Batch
from lightning_gen.models.gans.adversarial_model import Judged
from lightning_gen.models.gans.gan_of_networks import GANOfNetworks
from lightning_gen.models.hyperparameters import require_at_least, require_default
from lightning_gen.nn.mlp import mlp
from lightning_gen.noise import Noise


class InfoGAN(GANOfNetworks):
    r"""Some numbers of z are codes that can be read off the image.

    .. math:: V(D, G) - \lambda L_I(G, Q), \qquad L_I = E_{c, x = G(z, c)}[\log Q(c \mid x)] + H(c) \le I(c; G(z, c))

    z is the noise, then one vector of zeros and a one for each categorical code, then the continuous codes, uniform in [-1, 1).

    Args:
        data_shape: as for every :class:`GenerativeModel`.
        latent_dim: numbers of incompressible noise.
        categories: how many values each categorical code has.
        num_continuous: continuous codes.
        categorical_weight: lambda of the categorical codes.
        continuous_weight: lambda of the continuous ones.
        recognition_width: of the hidden layer of Q.
        **options: as for :class:`GANOfNetworks`.
    """

    paper = "Chen et al. 2016, arXiv:1606.03657"

    def __init__(
        self,
        data_shape: list[int],
        latent_dim: int = 62,
        categories: list[int] = [10],
        num_continuous: int = 2,
        categorical_weight: float = 1.0,
        continuous_weight: float = 0.1,
        recognition_width: int = 128,
        **options: Any,
    ) -> None:
        require_at_least(1, latent_dim=latent_dim, recognition_width=recognition_width)
        require_at_least(2, categories=min(categories, default=2))
        require_at_least(0, num_continuous=num_continuous, categorical_weight=categorical_weight, continuous_weight=continuous_weight)
        require_at_least(1, num_continuous=num_continuous + len(categories))  # else there is nothing to recognise
        if not categories:
            require_default("there are no categorical codes", categorical_weight=(categorical_weight, 1.0))
        if not num_continuous:
            require_default("there are no continuous codes", continuous_weight=(continuous_weight, 0.1))
        code_size = sum(categories) + num_continuous
        super().__init__(data_shape, latent_dim=latent_dim + code_size, **options)
        self.categories, self.num_continuous = categories, num_continuous
        self.recognition = mlp(self.discriminator.num_features, [recognition_width], code_size, nn.LeakyReLU(0.2))

    def discriminator_parameters(self) -> list[nn.Parameter]:
        return [*self.discriminator.parameters(), *self.recognition.parameters()]

    @property
    def code_sizes(self) -> list[int]:
        """Lengths of the parts of z: the noise, each categorical code, the continuous ones."""
        return [self.hparams.latent_dim, *self.categories, self.num_continuous]

    def prior(self, noise: Noise, name: str) -> Tensor:
        """Noise and codes, ``(B, latent_dim + sum(categories) + num_continuous)``."""
        parts = [noise.normal(name, (self.hparams.latent_dim,))]
        for number, count in enumerate(self.categories):
            value = (noise.uniform(f"{name}/category/{number}", ()) * count).long().clamp(max=count - 1)
            parts.append(one_hot(value, count).to(parts[0]))
        return torch.cat([*parts, noise.uniform(f"{name}/continuous", (self.num_continuous,)) * 2 - 1], 1)

    def recovered(self, z: Tensor, labels: Tensor | None = None) -> dict[str, float]:
        """The share of right categories, and the root mean squared error of continuous codes, read off the images of z ``(B, D)``."""
        noise_size, *sizes = self.code_sizes
        codes = z[:, noise_size:].split(sizes, 1)
        guesses = self.recognition(self.discriminator(self.generator(z, labels), labels).features).split(sizes, 1)
        kinds = [f"category {number}" for number in range(len(self.categories))]
        found = {
            name: float((guess.argmax(1) == code.argmax(1)).float().mean())
            for name, guess, code in zip(kinds, guesses, codes, strict=False)
        }
        if self.num_continuous:
            found["continuous error"] = float((guesses[-1] - codes[-1]).square().mean().sqrt())
        return found

    def information_terms(self, fake: Judged) -> dict[str, Tensor]:
        r""":math:`-\lambda L_I` of each kind of code, in nats; for continuous codes without the constants."""
        assert fake.z is not None
        noise_size, *sizes = self.code_sizes
        codes = fake.z[:, noise_size:].split(sizes, 1)
        guesses = self.recognition(fake.features).split(sizes, 1)
        terms = {}
        if self.categories:
            pairs = zip(guesses[:-1], codes[:-1], strict=True)
            bound = sum(math.log(code.shape[1]) - cross_entropy(guess, code.argmax(1)) for guess, code in pairs)
            terms["information_categorical"] = -self.hparams.categorical_weight * bound
        if self.num_continuous:
            distance = (guesses[-1] - codes[-1]).square().sum(1).mean() / 2
            terms["information_continuous"] = self.hparams.continuous_weight * distance
        return terms

    def discriminator_terms(self, real: Judged, fake: Judged, noise: Noise) -> dict[str, Tensor]:
        return super().discriminator_terms(real, fake, noise) | self.information_terms(fake)

    def generator_terms(self, fake: Judged, batch: Batch, noise: Noise) -> dict[str, Tensor]:
        return super().generator_terms(fake, batch, noise) | self.information_terms(fake)
