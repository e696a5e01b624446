r"""The generative adversarial network (Goodfellow et al., 2014, arXiv:1406.2661).

Implemented: Algorithm 1 (k discriminator updates per generator update, here one per batch), the minimax objective and the non-saturating
one of Section 3. Deviations: fully connected networks without maxout and dropout, Adam in place of momentum.
"""

from __future__ import annotations

from typing import Any, Literal

from torch import Tensor

from lightning_gen.models.base import Batch
from lightning_gen.models.gans.adversarial_model import AdversarialModel, Judged
from lightning_gen.models.gans.losses import cross_entropy_fake
from lightning_gen.models.hyperparameters import require_at_least
from lightning_gen.nn.adversarial.mlp import MLPDiscriminator, MLPGenerator
from lightning_gen.noise import Noise


class CrossEntropyGAN(AdversarialModel):
    r"""The game of the first paper, in either of its forms.

    .. math:: \min_G \max_D E_x[\log D(x)] + E_z[\log(1 - D(G(z)))], \qquad D = \sigma(\text{logit})

    Args:
        data_shape: as for every :class:`GenerativeModel`.
        objective: what the generator minimises: :math:`E[\log(1 - D(G(z)))]` (``minimax``, which saturates while D wins) or
            :math:`-E[\log D(G(z))]` (``non_saturating``).
        **options: as for :class:`AdversarialModel`.
    """

    paper = "Goodfellow et al. 2014, arXiv:1406.2661"

    def __init__(self, data_shape: list[int], objective: Literal["minimax", "non_saturating"] = "non_saturating", **options: Any) -> None:
        super().__init__(data_shape, **options)

    def generator_terms(self, fake: Judged, batch: Batch, noise: Noise) -> dict[str, Tensor]:
        """The generator's loss under the chosen objective."""
        if self.hparams.objective == "minimax":
            return {"generator_fake": -cross_entropy_fake(fake.logits)}
        return super().generator_terms(fake, batch, noise)


class GAN(CrossEntropyGAN):
    """The fully connected GAN, for images and for vectors.

    Args:
        data_shape: as for every :class:`GenerativeModel`.
        hidden: widths of the hidden layers of both networks.
        **options: as for :class:`CrossEntropyGAN`.
    """

    def __init__(self, data_shape: list[int], hidden: list[int] = [256, 256], **options: Any) -> None:
        require_at_least(1, hidden=min(hidden, default=1))
        super().__init__(data_shape, **options)

    def build_generator(self) -> MLPGenerator:
        return MLPGenerator(self.latent_dim, self.data_shape, self.label_kind, self.hparams.hidden)

    def build_discriminator(self) -> MLPDiscriminator:
        return MLPDiscriminator(self.data_shape, self.label_kind, self.hparams.hidden)
