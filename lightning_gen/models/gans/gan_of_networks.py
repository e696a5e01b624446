"""The non-saturating GAN (Goodfellow et al., 2014, arXiv:1406.2661) of any two networks, the base of papers about a loss."""

from __future__ import annotations

from typing import Any, Literal, TypeVar

from lightning_gen.models.gans.adversarial_model import AdversarialModel
from lightning_gen.nn.adversarial.base import Discriminator, Generator, orthogonal
from lightning_gen.registry import ClassSpec, build

Network = TypeVar("Network", Generator, Discriminator)


class GANOfNetworks(AdversarialModel):
    """The non-saturating game between any generator and any discriminator; a paper that is a loss or a penalty derives from it.

    Args:
        data_shape: as for every :class:`GenerativeModel`.
        generator: the network G, a spec of a :class:`~lightning_gen.nn.adversarial.base.Generator`.
        discriminator: the network D, a spec of a :class:`~lightning_gen.nn.adversarial.base.Discriminator`.
        initialization: each network's own, or ``orthogonal`` weights everywhere.
        **options: as for :class:`AdversarialModel`.
    """

    paper = "Goodfellow et al. 2014, arXiv:1406.2661"

    def __init__(
        self,
        data_shape: list[int],
        generator: ClassSpec | str = "DCGANGenerator",
        discriminator: ClassSpec | str = "DCGANDiscriminator",
        initialization: Literal["own", "orthogonal"] = "own",
        **options: Any,
    ) -> None:
        super().__init__(data_shape, **options)

    def build_generator(self) -> Generator:
        own = {"latent_dim": self.latent_dim, "data_shape": self.data_shape, "labels": self.label_kind}
        return self.initialized(build(self.hparams.generator, Generator, "model.generator", **own))

    def build_discriminator(self) -> Discriminator:
        own = {"data_shape": self.data_shape, "labels": self.label_kind}
        return self.initialized(build(self.hparams.discriminator, Discriminator, "model.discriminator", **own))

    def initialized(self, network: Network) -> Network:
        """The network with the weights that ``initialization`` says."""
        if self.hparams.initialization == "orthogonal":
            network.apply(orthogonal)
        return network
