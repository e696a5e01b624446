r"""The least-squares GAN (Mao et al., 2017, arXiv:1611.04076).

Implemented: Eq. 2 with the paper's 0-1 coding (a = 0, b = c = 1), which Eq. 9 uses, or any other. Deviation: DCGAN's networks unless told
otherwise, in place of the paper's own for scenes.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from lightning_gen.errors import UserError
from lightning_gen.models.base import Batch
from lightning_gen.models.gans.adversarial_model import Judged
from lightning_gen.models.gans.gan_of_networks import GANOfNetworks
from lightning_gen.noise import Noise


class LSGAN(GANOfNetworks):
    r"""The discriminator's value is drawn to b on real and to a on generated images, the generator's images to c.

    .. math:: \tfrac12 E_x[(D(x) - b)^2] + \tfrac12 E_z[(D(G(z)) - a)^2], \qquad \tfrac12 E_z[(D(G(z)) - c)^2]

    Args:
        data_shape: as for every :class:`GenerativeModel`.
        fake_target: a.
        real_target: b, above a.
        generator_target: c.
        **options: as for :class:`GANOfNetworks`.
    """

    paper = "Mao et al. 2017, arXiv:1611.04076"

    def __init__(
        self, data_shape: list[int], fake_target: float = 0.0, real_target: float = 1.0, generator_target: float = 1.0, **options: Any
    ) -> None:
        if not real_target > fake_target:
            raise UserError(f"model.real_target: expected more than model.fake_target ({fake_target}), got {real_target}")
        super().__init__(data_shape, **options)

    def discriminator_terms(self, real: Judged, fake: Judged, noise: Noise) -> dict[str, Tensor]:
        on_real, on_fake = real.logits - self.hparams.real_target, fake.logits - self.hparams.fake_target
        return {"discriminator_real": on_real.square().mean() / 2, "discriminator_fake": on_fake.square().mean() / 2}

    def generator_terms(self, fake: Judged, batch: Batch, noise: Noise) -> dict[str, Tensor]:
        return {"generator_fake": (fake.logits - self.hparams.generator_target).square().mean() / 2}

    def boundary(self, on_real: Tensor, on_fake: Tensor) -> float:
        """Half-way between the targets."""
        return (self.hparams.real_target + self.hparams.fake_target) / 2
