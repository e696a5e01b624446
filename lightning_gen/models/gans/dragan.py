r"""DRAGAN (Kodali et al., 2017, arXiv:1705.07215).

Implemented: the non-saturating game with a gradient penalty around real images, lambda 10, at the points
:math:`x + \tfrac12 \sigma u`, u uniform in [0, 1) for each value and sigma the standard deviation of all values of the global batch.
Deviations: the paper's text has normal noise of variance c instead; common code draws a point between x and this one besides.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from lightning_gen.distributed import global_mean
from lightning_gen.models.gans.adversarial_model import Judged
from lightning_gen.models.gans.gan_of_networks import GANOfNetworks
from lightning_gen.models.gans.regularizers import gradient_penalty, norm_warnings
from lightning_gen.models.hyperparameters import require_at_least, require_default
from lightning_gen.noise import Noise
from lightning_gen.registry import ClassSpec

DISCRIMINATOR = {"class_path": "DCGANDiscriminator", "init_args": {"normalization": "none"}}


class DRAGAN(GANOfNetworks):
    r"""The discriminator's gradient is drawn to norm 1 near real images.

    .. math:: -E_x[\log \sigma(D(x))] - E_z[\log(1 - \sigma(D(G(z))))]
        + \lambda E_{x, u}[(\lVert \nabla D(x + \tfrac12 \sigma u) \rVert - 1)^2]

    Args:
        data_shape: as for every :class:`GenerativeModel`.
        penalty_weight: lambda.
        discriminator: as for :class:`GANOfNetworks`; without normalisation over the batch, unless told otherwise.
        **options: as for :class:`GANOfNetworks`.
    """

    paper = "Kodali et al. 2017, arXiv:1705.07215"

    def __init__(
        self, data_shape: list[int], penalty_weight: float = 10.0, discriminator: ClassSpec | str = ClassSpec(DISCRIMINATOR), **options: Any
    ) -> None:
        require_at_least(0, penalty_weight=penalty_weight)
        super().__init__(data_shape, discriminator=discriminator, **options)
        require_default("the deviation of the whole batch is needed", micro_batches=(self.hparams.micro_batches, 1))

    def penalizes_gradients(self) -> bool:
        return self.hparams.penalty_weight > 0

    def recipe_warnings(self) -> list[str]:
        lines = norm_warnings(self.discriminator, "DRAGAN's paper") if self.penalizes_gradients() else []
        return [*super().recipe_warnings(), *lines]

    def discriminator_terms(self, real: Judged, fake: Judged, noise: Noise) -> dict[str, Tensor]:
        terms = super().discriminator_terms(real, fake, noise)
        if not self.penalizes_gradients():
            return terms
        u = noise.uniform("penalty", tuple(real.x.shape[1:])).to(real.x)
        penalty = gradient_penalty(self.discriminator, real.x + global_deviation(real.x) * u / 2, real.labels)
        return terms | {"gradient_penalty": self.hparams.penalty_weight * penalty}


@torch.no_grad()
def global_deviation(x: Tensor) -> Tensor:
    """The standard deviation of all values of all ranks."""
    mean = global_mean(x.mean())
    return global_mean((x - mean).square().mean()).sqrt()
