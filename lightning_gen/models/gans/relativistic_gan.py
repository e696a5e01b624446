r"""The relativistic GAN (Jolicoeur-Martineau, 2018, arXiv:1807.00734) with R1 and R2: R3GAN (Huang et al., 2025, arXiv:2501.05441).

Implemented: the paired game (RpGAN) and the average one (RaGAN), with zero-centred penalties on real and on generated images at every
update; R3GAN's network (:mod:`lightning_gen.nn.adversarial.r3gan`), Adam with beta_1 = 0. R3GAN's schedules of the learning rate, of
beta_2, gamma and EMA, and its augmentation, are left to the configuration where there is an option, and constant where there is none.
Deviation: under augmentation the penalties are on the gradient by the augmented image, not by the image before.
"""

from __future__ import annotations

from typing import Any, Literal

from torch import Tensor
from torch.nn.functional import softplus

from lightning_gen.distributed import global_mean
from lightning_gen.models.base import Batch
from lightning_gen.models.gans.adversarial_model import Judged
from lightning_gen.models.gans.gan_of_networks import GANOfNetworks
from lightning_gen.models.gans.regularizers import norm_warnings, squared_gradient_norm
from lightning_gen.models.hyperparameters import require_at_least, require_default
from lightning_gen.noise import Noise
from lightning_gen.registry import ClassSpec


class RelativisticGAN(GANOfNetworks):
    r"""Real images are to look more real than generated ones, by the discriminator; the other way round, by the generator.

    .. math:: E_{x, z}[f(D(x) - D(G(z)))] + \tfrac{\gamma}{2} E_x[\lVert \nabla D(x) \rVert^2]
        + \tfrac{\gamma}{2} E_z[\lVert \nabla D(G(z)) \rVert^2], \qquad E_{x, z}[f(D(G(z)) - D(x))], \qquad f(t) = \log(1 + e^{-t})

    Args:
        data_shape: as for every :class:`GenerativeModel`.
        objective: each real image against one generated (``paired``), or each image against the mean of the others (``average``, of both
            directions, halved).
        gamma: the weight of R1 and of R2.
        generator, discriminator: as for :class:`GANOfNetworks`.
        betas: Adam's decay rates.
        **options: as for :class:`GANOfNetworks`.
    """

    paper = "Jolicoeur-Martineau 2018, arXiv:1807.00734; Huang et al. 2025, arXiv:2501.05441"

    def __init__(
        self,
        data_shape: list[int],
        objective: Literal["paired", "average"] = "paired",
        gamma: float = 0.05,
        generator: ClassSpec | str = "R3GANGenerator",
        discriminator: ClassSpec | str = "R3GANDiscriminator",
        betas: list[float] = [0.0, 0.99],
        **options: Any,
    ) -> None:
        require_at_least(0, gamma=gamma)
        super().__init__(data_shape, generator=generator, discriminator=discriminator, betas=betas, **options)
        if objective == "average":
            require_default("the mean over the whole batch is needed", micro_batches=(self.hparams.micro_batches, 1))
        require_default("each generated image has a real one", generator_batches=(self.hparams.generator_batches, 1))

    def relative(self, higher: Tensor, lower: Tensor) -> Tensor:
        """How far ``higher`` is from lying above ``lower``."""
        if self.hparams.objective == "paired":
            return softplus(lower - higher).mean()
        above, below = higher - global_mean(lower.mean()), lower - global_mean(higher.mean())
        return (softplus(-above).mean() + softplus(below).mean()) / 2

    def penalizes_gradients(self) -> bool:
        return self.hparams.gamma > 0

    def recipe_warnings(self) -> list[str]:
        return [*super().recipe_warnings(), *(norm_warnings(self.discriminator, "R1 and R2") if self.penalizes_gradients() else [])]

    def discriminator_terms(self, real: Judged, fake: Judged, noise: Noise) -> dict[str, Tensor]:
        terms = {"discriminator_relative": self.relative(real.logits, fake.logits)}
        if not self.penalizes_gradients():
            return terms
        penalties = {"r1": real, "r2": fake}
        weight = self.hparams.gamma / 2
        return terms | {n: weight * squared_gradient_norm(self.discriminator, seen.x, seen.labels) for n, seen in penalties.items()}

    def generator_terms(self, fake: Judged, batch: Batch, noise: Noise) -> dict[str, Tensor]:
        real = self.judge(self.to_network(batch[0]), self.labels_of(batch), noise, "generator/real")
        return {"generator_relative": self.relative(fake.logits, real.logits)}

    def boundary(self, on_real: Tensor, on_fake: Tensor) -> Tensor:
        """Half-way between the means, since only differences have a meaning."""
        return (on_real.mean() + on_fake.mean()) / 2
