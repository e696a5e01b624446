r"""BigGAN (Brock et al., 2019, arXiv:1809.11096), in the form for 32x32.

Implemented: z in parts and a shared class vector, which give every block its gains and biases, orthogonal initialisation, spectral
normalisation of both networks, attention, the hinge loss, projection, and the truncation trick. Deviations, those of the form that is
widely used for CIFAR-10: 384 and 192 channels, z of 80, equal learning rates of 0.0002; no orthogonal regularisation; instead of drawing
anew what lies outside, the truncation maps the normal distribution on the truncated one, so that sample i stays close to itself.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from torch import Tensor

from lightning_gen.errors import UserError
from lightning_gen.models.gans.sagan import SAGAN
from lightning_gen.models.hyperparameters import require_at_least
from lightning_gen.noise import Noise
from lightning_gen.registry import ClassSpec

GENERATOR = {"class_path": "BigGANGenerator", "init_args": {"attention": True}}
DISCRIMINATOR = {"class_path": "ResNetDiscriminator", "init_args": {"width": 192, "attention": True}}


class BigGAN(SAGAN):
    """z and the class steer every block of the generator.

    Args:
        data_shape: as for every :class:`GenerativeModel`.
        latent_dim: length of z.
        truncation: samples come from z with all values within so many deviations; 0 for the whole normal distribution.
        generator, discriminator: as for :class:`GANOfNetworks`.
        n_critic: discriminator updates per generator update.
        learning_rate: the generator's.
        discriminator_learning_rate: the discriminator's; null for the same.
        betas: Adam's decay rates.
        initialization: as for :class:`GANOfNetworks`.
        **options: as for :class:`SNGAN`.
    """

    paper = "Brock et al. 2019, arXiv:1809.11096"

    def __init__(
        self,
        data_shape: list[int],
        latent_dim: int = 80,
        truncation: float = 0.0,
        generator: ClassSpec | str = ClassSpec(GENERATOR),
        discriminator: ClassSpec | str = ClassSpec(DISCRIMINATOR),
        n_critic: int = 4,
        learning_rate: float = 2e-4,
        discriminator_learning_rate: float | None = None,
        betas: list[float] = [0.0, 0.999],
        initialization: Literal["own", "orthogonal"] = "orthogonal",
        **options: Any,
    ) -> None:
        networks = {"generator": generator, "discriminator": discriminator}
        rates = {"learning_rate": learning_rate, "discriminator_learning_rate": discriminator_learning_rate}
        super().__init__(
            data_shape, latent_dim=latent_dim, n_critic=n_critic, betas=betas, **networks, **rates, initialization=initialization, **options
        )
        self.set_truncation(truncation)

    def set_truncation(self, truncation: float) -> None:
        """Sample with this truncation from now on; a checkpoint keeps the hyperparameter."""
        require_at_least(0, truncation=truncation)
        if math.isinf(truncation):
            raise UserError("model.truncation: expected a number of deviations, or 0 for all of the normal distribution, got inf")
        self.truncation = truncation

    def draw_latents(self, noise: Noise, *, labels: Tensor | None = None) -> Tensor:
        """Draws of z, truncated where the model is told so."""
        z = super().draw_latents(noise, labels=labels)
        return truncated(z, self.truncation) if self.truncation else z

    def answer_options(self) -> dict[str, Any]:
        return super().answer_options() | ({"truncation": self.truncation} if self.truncation else {})


def truncated(z: Tensor, bound: float) -> Tensor:
    r"""Standard normal draws as draws of the normal distribution within [-bound, bound], in the same order.

    .. math:: \Phi^{-1}\big(\Phi(-t) + \Phi(z) (\Phi(t) - \Phi(-t))\big)
    """
    mass = torch.special.erf(torch.tensor(bound / 2**0.5, dtype=torch.float64, device=z.device))
    return (2**0.5 * torch.special.erfinv(torch.special.erf(z.double() / 2**0.5) * mass)).to(z.dtype)
