r"""WGAN with gradient penalty (Gulrajani et al., 2017, arXiv:1704.00028).

Implemented: Algorithm 1: penalty weight 10 at points between pairs, five critic updates per generator update, Adam at 0.0001 with betas
(0, 0.9), no batch normalisation in the critic. Unless told otherwise, the networks are the residual ones of
:mod:`lightning_gen.nn.adversarial.resnet`, with the mean over pixels, close to the paper's for CIFAR-10.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from lightning_gen.models.gans.adversarial_model import Judged
from lightning_gen.models.gans.regularizers import between, gradient_penalty, norm_warnings
from lightning_gen.models.gans.wgan import WassersteinGAN
from lightning_gen.models.hyperparameters import require_at_least
from lightning_gen.noise import Noise
from lightning_gen.registry import ClassSpec

CRITIC = {"class_path": "ResNetDiscriminator", "init_args": {"pooling": "mean"}}


class WGANGP(WassersteinGAN):
    r"""The critic's gradient is drawn to norm 1 between real and generated images.

    .. math:: E_z[f(G(z))] - E_x[f(x)] + \lambda E_{\hat x}[(\lVert \nabla f(\hat x) \rVert_2 - 1)^2]

    Args:
        data_shape: as for every :class:`GenerativeModel`.
        penalty_weight: lambda.
        generator, discriminator: as for :class:`GANOfNetworks`.
        n_critic: critic updates per generator update.
        learning_rate: Adam's.
        betas: Adam's.
        **options: as for :class:`GANOfNetworks`.
    """

    paper = "Gulrajani et al. 2017, arXiv:1704.00028"

    def __init__(
        self,
        data_shape: list[int],
        penalty_weight: float = 10.0,
        generator: ClassSpec | str = "ResNetGenerator",
        discriminator: ClassSpec | str = ClassSpec(CRITIC),
        n_critic: int = 5,
        learning_rate: float = 1e-4,
        betas: list[float] = [0.0, 0.9],
        **options: Any,
    ) -> None:
        require_at_least(0, penalty_weight=penalty_weight)
        game = {"n_critic": n_critic, "learning_rate": learning_rate, "betas": betas}
        super().__init__(data_shape, generator=generator, discriminator=discriminator, **game, **options)

    def penalizes_gradients(self) -> bool:
        return self.hparams.penalty_weight > 0

    def recipe_warnings(self) -> list[str]:
        lines = norm_warnings(self.discriminator, "WGAN-GP's paper, Section 4") if self.penalizes_gradients() else []
        if self.hparams.betas[0] > 0:
            lines.append(f"model.betas {self.hparams.betas}: WGAN-GP's paper has Adam's beta_1 at 0 (Algorithm 1)")
        return [*super().recipe_warnings(), *lines]

    def discriminator_terms(self, real: Judged, fake: Judged, noise: Noise) -> dict[str, Tensor]:
        terms = super().discriminator_terms(real, fake, noise)
        if not self.penalizes_gradients():
            return terms
        x = between(real.x, fake.x, noise.uniform("penalty", (1,)))
        penalty = gradient_penalty(self.discriminator, x, real.labels)
        return terms | {"gradient_penalty": self.hparams.penalty_weight * penalty}
