r"""Glow (Kingma & Dhariwal, 2018, arXiv:1807.03039).

Implemented: L scales of a squeeze and K steps each (ActNorm, invertible 1x1 convolution, affine or additive coupling of half of the
channels), half of the channels factored out after each scale but the last, with a learned prior given the other half; the learned prior at
the top, which may depend on the class; the matrix of the 1x1 convolution as it is or by its LU decomposition; data-dependent
initialisation of every ActNorm over the global batch; Adamax with a linear warm-up; sampling at a lower temperature.

As in the authors' code: the couplings' scale is :math:`\sigma(r + 2)`, at most 1; the data are centred and not passed through a logit.
Deviations: the class enters through a learned vector in place of one row per class; there is no auxiliary loss of a classifier.
"""

from __future__ import annotations

from typing import Any, Literal

import torch

from lightning_gen.bijections.base import Bijection, Chain
from lightning_gen.bijections.convolution import InvertibleConvolution, LUConvolution
from lightning_gen.bijections.coupling import SplitCoupling
from lightning_gen.bijections.factor_out import FactorOut
from lightning_gen.bijections.logit import Shift
from lightning_gen.bijections.normalization import ActNorm
from lightning_gen.bijections.scaling import LearnedNormal
from lightning_gen.bijections.shapes import Flatten, Squeeze, halvings, squeezed
from lightning_gen.bijections.transforms import Additive, SigmoidAffine
from lightning_gen.errors import UserError
from lightning_gen.images import is_image
from lightning_gen.models.flows.normalizing_flow import NormalizingFlow
from lightning_gen.models.hyperparameters import require_at_least, require_scales
from lightning_gen.nn.conv import resolution_levels
from lightning_gen.nn.glow_network import GlowNetwork, ZeroConvolution

Shape = tuple[int, ...]


class Glow(NormalizingFlow):
    r"""Steps of ActNorm, invertible 1x1 convolution and coupling, at several scales.

    .. math::
        \log p(y) = \log N(z; 0, I) + \sum_{\text{layers}} \log|\det|, \qquad
        x \mapsto e^{s}(x + b), \quad x_{:ij} \mapsto W x_{:ij}, \quad x_b \mapsto \sigma(r(x_a) + 2)\, x_b + t(x_a)

    Args:
        data_shape: as for every :class:`GenerativeModel`, of images; sides have to be even as often as there are scales.
        num_scales: L; 0 for as many as the sides allow, down to 4 pixels, and two where they can be: 2 at 8 and 28 pixels, 3 at 32.
        num_steps: K, steps of each scale.
        width: channels of the hidden layers of the couplings' networks.
        coupling: of the two in the paper; affine has the better likelihood.
        convolution: how the 1x1 convolution's matrix is learned.
        **options: as for every :class:`NormalizingFlow`; with ``conditional`` the class sets mean and scale of the prior at the top.
    """

    paper = "Kingma & Dhariwal 2018, arXiv:1807.03039"
    takes_labels = True

    def __init__(
        self,
        data_shape: list[int],
        num_scales: int = 0,
        num_steps: int = 32,
        width: int = 512,
        coupling: Literal["affine", "additive"] = "affine",
        convolution: Literal["plain", "lu"] = "plain",
        **options: Any,
    ) -> None:
        super().__init__(data_shape, **options)

    def build_bijection(self) -> Bijection:
        require_at_least(1, num_steps=self.hparams.num_steps, width=self.hparams.width)
        if not is_image(self.data_shape):
            raise UserError(f"model.data_shape: Glow needs images [C, H, W], got {list(self.data_shape)}; RealNVP and NICE take vectors")
        scales = self.hparams.num_scales or resolution_levels(self.data_shape)[0]
        require_scales(self.data_shape, halvings(self.data_shape), num_scales=scales)
        self.latent_shapes = {}
        return Chain([Shift(0.5), self.scale(self.data_shape, 1, scales)])

    def scale(self, shape: Shape, number: int, scales: int) -> Bijection:
        """The flow from one scale on: images of a shape to flat noise."""
        deep = squeezed(shape)
        layers: list[Bijection] = [Squeeze()]
        for step in range(self.hparams.num_steps):
            layers += self.step(deep, f"scale {number} step {step}")
        if number == scales:
            self.latent_shapes[f"z_{number}"] = deep
            return Chain([*layers, LearnedNormal(deep[0], 3, self.embedding.features), Flatten(deep)])
        early, late = (deep[0] // 2, *deep[1:]), (deep[0] - deep[0] // 2, *deep[1:])
        self.latent_shapes[f"z_{number}"] = early
        prior = ZeroConvolution(late[0], 2 * early[0])
        return Chain([*layers, FactorOut(early, self.scale(late, number + 1, scales), prior)])

    def step(self, shape: Shape, name: str) -> list[Bijection]:
        """One step of flow; the name keys the matrix with which its convolution starts."""
        channels, changing = shape[0], shape[0] // 2
        mix = InvertibleConvolution if self.hparams.convolution == "plain" else LUConvolution
        transform = (SigmoidAffine if self.hparams.coupling == "affine" else Additive)((changing, *shape[1:]))
        network = GlowNetwork(channels - changing, transform.num_parameters * changing, self.hparams.width)
        return [ActNorm(channels), mix(channels, name), SplitCoupling(network, transform)]

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adamax, as in the authors' code."""
        return torch.optim.Adamax(self.trained_parameters(), lr=self.hparams.learning_rate, weight_decay=self.hparams.weight_decay)
