r"""ACGAN (Odena et al., 2017, arXiv:1610.09585).

Implemented: the discriminator tells the class too, of real and of generated images (Eqs. 2 and 3), and both networks want it to be right.
Deviation: DCGAN's networks unless told otherwise, without the paper's dropout and noise in the discriminator.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from lightning_gen.errors import UserError
from lightning_gen.models.base import Batch
from lightning_gen.models.gans.adversarial_model import Judged
from lightning_gen.models.gans.gan_of_networks import GANOfNetworks
from lightning_gen.models.hyperparameters import require_at_least
from lightning_gen.nn.adversarial.base import Discriminator
from lightning_gen.noise import Noise
from lightning_gen.registry import build


class ACGAN(GANOfNetworks):
    r"""The generator is given the class; the discriminator is not, and has to name it.

    .. math:: L_S + \lambda_D L_C, \qquad L_S^G + \lambda_G L_C^G, \qquad L_C = -E_x[\log C(y \mid x)] - E_z[\log C(y \mid G(z, y))]

    where L_S is the non-saturating game, and the generator's :math:`L_C^G` is the second term alone.

    Args:
        data_shape: as for every :class:`GenerativeModel`.
        class_weight: lambda_D.
        generator_class_weight: lambda_G.
        conditional: has to be true; attributes are no classes.
        **options: as for :class:`GANOfNetworks`.
    """

    paper = "Odena et al. 2017, arXiv:1610.09585"

    def __init__(
        self,
        data_shape: list[int],
        class_weight: float = 1.0,
        generator_class_weight: float = 1.0,
        conditional: bool = True,
        **options: Any,
    ) -> None:
        require_at_least(0, class_weight=class_weight, generator_class_weight=generator_class_weight)
        super().__init__(data_shape, conditional=conditional, **options)
        if not conditional or not self.num_classes:
            raise UserError("model.conditional: ACGAN classifies; expected true, and data with classes")
        self.classifier = nn.Linear(self.discriminator.num_features, self.num_classes)

    def build_discriminator(self) -> Discriminator:
        return self.initialized(build(self.hparams.discriminator, Discriminator, "model.discriminator", data_shape=self.data_shape))

    def discriminator_parameters(self) -> list[nn.Parameter]:
        return [*self.discriminator.parameters(), *self.classifier.parameters()]

    def class_loss(self, judged: Judged) -> Tensor:
        r""":math:`-E[\log C(y \mid x)]`, in nats."""
        return cross_entropy(self.classifier(judged.features), judged.labels)

    def discriminator_terms(self, real: Judged, fake: Judged, noise: Noise) -> dict[str, Tensor]:
        weight = self.hparams.class_weight
        classes = {"class_real": weight * self.class_loss(real), "class_fake": weight * self.class_loss(fake)}
        return super().discriminator_terms(real, fake, noise) | classes

    def generator_terms(self, fake: Judged, batch: Batch, noise: Noise) -> dict[str, Tensor]:
        classes = {"generator_class": self.hparams.generator_class_weight * self.class_loss(fake)}
        return super().generator_terms(fake, batch, noise) | classes
