r"""SAGAN (Zhang et al., 2018, arXiv:1805.08318).

Implemented: self-attention in both networks (Section 3), spectral normalisation of both, the hinge loss, one update each at learning rates
0.0001 and 0.0004 (TTUR) with betas (0, 0.9). With labels: conditional batch normalisation and projection, as the paper's models of
ImageNet have them. The networks are SNGAN's, with attention behind the maps of half the image's sides.
"""

from __future__ import annotations

from typing import Any

from lightning_gen.models.gans.sngan import SNGAN
from lightning_gen.nn.adversarial.base import Generator, normalize_spectrally
from lightning_gen.nn.base import LabelEmbedding
from lightning_gen.registry import ClassSpec

GENERATOR = {"class_path": "ResNetGenerator", "init_args": {"attention": True}}
DISCRIMINATOR = {"class_path": "ResNetDiscriminator", "init_args": {"attention": True}}


class SAGAN(SNGAN):
    r"""Every pixel of a hidden layer attends to all others.

    .. math:: x + \gamma\, W_o\, \mathrm{softmax}\big((W_f x)^\top W_g x\big)\, W_h x

    Args:
        data_shape: as for every :class:`GenerativeModel`.
        generator, discriminator: as for :class:`GANOfNetworks`; where attention stands is their ``attention``.
        n_critic: discriminator updates per generator update.
        learning_rate: the generator's.
        discriminator_learning_rate: the discriminator's.
        **options: as for :class:`SNGAN`.
    """

    paper = "Zhang et al. 2018, arXiv:1805.08318"

    def __init__(
        self,
        data_shape: list[int],
        generator: ClassSpec | str = ClassSpec(GENERATOR),
        discriminator: ClassSpec | str = ClassSpec(DISCRIMINATOR),
        n_critic: int = 1,
        learning_rate: float = 1e-4,
        discriminator_learning_rate: float | None = 4e-4,
        **options: Any,
    ) -> None:
        networks = {"generator": generator, "discriminator": discriminator}
        rates = {"learning_rate": learning_rate, "discriminator_learning_rate": discriminator_learning_rate}
        super().__init__(data_shape, n_critic=n_critic, **networks, **rates, **options)

    def build_generator(self) -> Generator:
        network = super().build_generator()
        normalize_spectrally(network, "model.generator", but=LabelEmbedding)
        return network
