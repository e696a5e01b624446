r"""SNGAN (Miyato et al., 2018, arXiv:1802.05957).

Implemented: spectral normalisation of every weight of the discriminator by one power iteration per pass, the hinge loss (Eqs. 16 and 17)
and the non-saturating one, the residual networks of Table 4 and, as ``CNNGenerator`` and ``CNNDiscriminator``, the plain ones of Table 3,
Adam at 0.0002 with betas (0, 0.9), five discriminator updates per generator update. The generator's batch of 128 beside 64 that the
authors' code has is ``generator_batches: 2``.
"""

from __future__ import annotations

from typing import Any, Literal

from torch import Tensor

from lightning_gen.models.base import Batch
from lightning_gen.models.gans.adversarial_model import Judged
from lightning_gen.models.gans.gan_of_networks import GANOfNetworks
from lightning_gen.models.gans.losses import hinge_fake, hinge_real
from lightning_gen.nn.adversarial.base import Discriminator, normalize_spectrally
from lightning_gen.noise import Noise
from lightning_gen.registry import ClassSpec


class SNGAN(GANOfNetworks):
    r"""Every layer of the discriminator has a Lipschitz constant of 1.

    .. math:: E_x[\max(0, 1 - D(x))] + E_z[\max(0, 1 + D(G(z)))], \qquad -E_z[D(G(z))]

    Args:
        data_shape: as for every :class:`GenerativeModel`.
        objective: ``hinge`` as above, or ``non_saturating`` as :class:`AdversarialModel`.
        latent_dim: length of z.
        generator, discriminator: as for :class:`GANOfNetworks`.
        n_critic: discriminator updates per generator update.
        betas: Adam's decay rates.
        **options: as for :class:`GANOfNetworks`.
    """

    paper = "Miyato et al. 2018, arXiv:1802.05957"

    def __init__(
        self,
        data_shape: list[int],
        objective: Literal["hinge", "non_saturating"] = "hinge",
        latent_dim: int = 128,
        generator: ClassSpec | str = "ResNetGenerator",
        discriminator: ClassSpec | str = "ResNetDiscriminator",
        n_critic: int = 5,
        betas: list[float] = [0.0, 0.9],
        **options: Any,
    ) -> None:
        networks = {"generator": generator, "discriminator": discriminator}
        super().__init__(data_shape, latent_dim=latent_dim, n_critic=n_critic, betas=betas, **networks, **options)

    def build_discriminator(self) -> Discriminator:
        network = super().build_discriminator()
        normalize_spectrally(network, "model.discriminator")
        return network

    def discriminator_terms(self, real: Judged, fake: Judged, noise: Noise) -> dict[str, Tensor]:
        if self.hparams.objective == "non_saturating":
            return super().discriminator_terms(real, fake, noise)
        return {"discriminator_real": hinge_real(real.logits), "discriminator_fake": hinge_fake(fake.logits)}

    def generator_terms(self, fake: Judged, batch: Batch, noise: Noise) -> dict[str, Tensor]:
        if self.hparams.objective == "non_saturating":
            return super().generator_terms(fake, batch, noise)
        return {"generator_fake": -fake.logits.mean()}
