r"""DCGAN (Radford et al., 2015, arXiv:1511.06434).

Implemented: the networks of Section 3 (:mod:`lightning_gen.nn.adversarial.dcgan`), weights from N(0, 0.02), z uniform in [-1, 1), Adam with
learning rate 0.0002 and beta 0.5, the non-saturating objective. Deviation: 4x4 kernels in place of 5x5.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from lightning_gen.models.gans.gan import CrossEntropyGAN
from lightning_gen.models.hyperparameters import require_at_least
from lightning_gen.nn.adversarial.dcgan import DCGANDiscriminator, DCGANGenerator
from lightning_gen.noise import Noise


class DCGAN(CrossEntropyGAN):
    """Deep convolutional GAN, for images whose sides halve to 8 pixels or less (8, 28, 32, 64, ...).

    Args:
        data_shape: as for every :class:`GenerativeModel`.
        width: channels at the highest hidden resolution, doubled at every halving (the paper's 64x64 network has 128).
        **options: as for :class:`CrossEntropyGAN`.
    """

    paper = "Radford et al. 2015, arXiv:1511.06434"

    def __init__(self, data_shape: list[int], width: int = 128, **options: Any) -> None:
        require_at_least(1, width=width)
        super().__init__(data_shape, **options)

    def build_generator(self) -> DCGANGenerator:
        return DCGANGenerator(self.latent_dim, self.data_shape, self.label_kind, self.hparams.width)

    def build_discriminator(self) -> DCGANDiscriminator:
        return DCGANDiscriminator(self.data_shape, self.label_kind, self.hparams.width)

    def prior(self, noise: Noise, name: str) -> Tensor:
        """Uniform in [-1, 1), as the paper."""
        return noise.uniform(name, (self.latent_dim,)) * 2 - 1
