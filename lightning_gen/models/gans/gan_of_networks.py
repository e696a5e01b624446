"""The base of GANs whose paper is a loss or a penalty, for any two networks."""

from __future__ import annotations

from typing import Any

from lightning_gen.models.gans.adversarial_model import AdversarialModel
from lightning_gen.nn.adversarial.base import Discriminator, Generator
from lightning_gen.registry import ClassSpec, build


class GANOfNetworks(AdversarialModel):
    """A GAN whose paper is a loss or a penalty, for any two networks.

    Args:
        data_shape: as for every :class:`GenerativeModel`.
        generator: the network G, a spec of a :class:`~lightning_gen.nn.adversarial.base.Generator`.
        discriminator: the network D, a spec of a :class:`~lightning_gen.nn.adversarial.base.Discriminator`.
        **options: as for :class:`AdversarialModel`.
    """

    def __init__(
        self,
        data_shape: list[int],
        generator: ClassSpec | str = "DCGANGenerator",
        discriminator: ClassSpec | str = "DCGANDiscriminator",
        **options: Any,
    ) -> None:
        super().__init__(data_shape, **options)

    def build_generator(self) -> Generator:
        own = {"latent_dim": self.latent_dim, "data_shape": self.data_shape, "labels": self.label_kind}
        return build(self.hparams.generator, Generator, "model.generator", **own)

    def build_discriminator(self) -> Discriminator:
        own = {"data_shape": self.data_shape, "labels": self.label_kind}
        return build(self.hparams.discriminator, Discriminator, "model.discriminator", **own)
