r"""The Wasserstein GAN (Arjovsky et al., 2017, arXiv:1701.07875).

Implemented: Algorithm 1: RMSProp at 0.00005, five critic updates per generator update, weights clipped to [-0.01, 0.01] after each.
Deviation: DCGAN's networks, batch normalisation included as in the paper's main experiments, unless told otherwise; no longer critic
training in the first 25 generator updates, which is in the authors' code and not in the paper.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from lightning_gen.models.base import Batch
from lightning_gen.models.gans.adversarial_model import Judged
from lightning_gen.models.gans.gan_of_networks import GANOfNetworks
from lightning_gen.models.hyperparameters import require_default, require_positive
from lightning_gen.noise import Noise


class WassersteinGAN(GANOfNetworks):
    r"""The game of a critic f whose slope is bounded, by whatever means: it estimates the Wasserstein-1 distance.

    .. math:: -E_x[f(x)] + E_z[f(G(z))], \qquad -E_z[f(G(z))]
    """

    def discriminator_terms(self, real: Judged, fake: Judged, noise: Noise) -> dict[str, Tensor]:
        return {"discriminator_real": -real.logits.mean(), "discriminator_fake": fake.logits.mean()}

    def generator_terms(self, fake: Judged, batch: Batch, noise: Noise) -> dict[str, Tensor]:
        return {"generator_fake": -fake.logits.mean()}

    def boundary(self, on_real: Tensor, on_fake: Tensor) -> Tensor:
        """Half-way between the means, since a critic's value has no zero."""
        return (on_real.mean() + on_fake.mean()) / 2


class WGAN(WassersteinGAN):
    """The critic's weights are kept in a box.

    Args:
        data_shape: as for every :class:`GenerativeModel`.
        weight_clip: c, the largest absolute value of a weight of the critic.
        n_critic: critic updates per generator update.
        learning_rate: RMSProp's.
        **options: as for :class:`GANOfNetworks`; RMSProp has no ``betas``.
    """

    paper = "Arjovsky et al. 2017, arXiv:1701.07875"

    def __init__(
        self, data_shape: list[int], weight_clip: float = 0.01, n_critic: int = 5, learning_rate: float = 5e-5, **options: Any
    ) -> None:
        require_positive(weight_clip=weight_clip)
        super().__init__(data_shape, n_critic=n_critic, learning_rate=learning_rate, **options)
        require_default("RMSProp has none", betas=(self.hparams.betas, [0.5, 0.999]))

    def after_discriminator_update(self) -> None:
        """Clip every weight of the critic."""
        with torch.no_grad():
            for parameter in self.discriminator.parameters():
                parameter.clamp_(-self.hparams.weight_clip, self.hparams.weight_clip)

    def optimizer_of(self, parameters: list[nn.Parameter], learning_rate: float) -> torch.optim.Optimizer:
        return torch.optim.RMSprop(parameters, lr=learning_rate)
