r"""Flows by the CDF of a mixture, dimension by dimension.

In one dimension: a histogram is made uniform (or normal, or logistic) by the CDF of a mixture that is fitted to it. In several: an
autoregressive flow, each of whose conditionals :math:`p(x_i | x_{<i})` is such a mixture, with parameters from a masked network (MADE:
Germain et al., 2015, arXiv:1502.03509). The one-dimensional flow is an exercise of Berkeley's course CS294-158; CDFs of mixtures as the
function of a layer come from Flow++ (Ho et al., 2019, arXiv:1902.00275) and, stacked, from neural autoregressive flows (Huang et al., 2018,
arXiv:1804.00779). Not implemented: several layers in a row, which this flow does not need to represent any density.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from torch import Tensor, nn

from lightning_gen.bijections.autoregressive import Autoregressive
from lightning_gen.bijections.base import Bijection, Chain
from lightning_gen.bijections.coupling import Coupling
from lightning_gen.bijections.logit import Logit
from lightning_gen.bijections.mixture_cdf import MixtureCDF
from lightning_gen.bijections.normalization import ActNorm
from lightning_gen.bijections.shapes import Flatten
from lightning_gen.distributions.base import LatentDistribution
from lightning_gen.distributions.normal import DiagonalNormal
from lightning_gen.distributions.standard import StandardLogistic, StandardUniform
from lightning_gen.errors import UserError
from lightning_gen.images import is_image
from lightning_gen.models.flows.normalizing_flow import NormalizingFlow
from lightning_gen.nn.masked import MaskedMLP

PRIORS = {"uniform": StandardUniform, "logistic": StandardLogistic, "normal": DiagonalNormal.standard}


class MixtureCDFFlow(NormalizingFlow):
    r"""Every number by the CDF of its mixture, given the numbers before it.

    .. math:: z_i = G^{-1}\Big(\sum_k \pi_{ik}(x_{<i})\, F_0\big((x_i - \mu_{ik}(x_{<i}))\, e^{-s_{ik}(x_{<i})}\big)\Big)

    Args:
        data_shape: as for every :class:`GenerativeModel`; of images the rows follow each other, channel after channel.
        num_components: K.
        hidden: widths of the masked network's layers; in one dimension there is nothing to look at, and the mixture's numbers are learned
            as they are.
        noise: G. Near 1 uniform noise has few digits left to say where it came from, so it is meant for one dimension.
        components: F_0.
        alpha: of the logit of images, before all else; 0 for none.
        **options: as for every :class:`NormalizingFlow`; uniform noise has no temperature.
    """

    paper = "Ho, Chen, Srinivas, Duan & Abbeel 2019, arXiv:1902.00275"

    def __init__(
        self,
        data_shape: list[int],
        num_components: int = 8,
        hidden: list[int] = [512, 512],
        noise: Literal["uniform", "logistic", "normal"] = "logistic",
        components: Literal["logistic", "normal"] = "logistic",
        alpha: float = 0.05,
        **options: Any,
    ) -> None:
        super().__init__(data_shape, **options)

    def set_temperature(self, temperature: float) -> None:
        if self.hparams.noise == "uniform" and temperature != 1:
            raise UserError(f"temperature: uniform noise has no temperature; expected 1, got {temperature}")
        super().set_temperature(temperature)

    def build_bijection(self) -> Bijection:
        size = math.prod(self.data_shape)
        transform = MixtureCDF((size,), self.hparams.num_components, self.hparams.noise, self.hparams.components)
        if size == 1:
            nothing = torch.zeros(1, size)
            layer: Bijection = Coupling(nothing, Learned(transform.num_parameters), transform)
        else:
            layer = Autoregressive(MaskedMLP(size, transform.num_parameters, self.hparams.hidden), transform)
        logit: list[Bijection] = [Logit(self.hparams.alpha)] if self.hparams.alpha and is_image(self.data_shape) else []
        flat: list[Bijection] = [Flatten(self.data_shape)] if is_image(self.data_shape) else []
        return Chain([*logit, *flat, ActNorm(size, 1), layer])

    def prior(self, labels: Tensor | None = None) -> LatentDistribution:
        return PRIORS[self.hparams.noise]()


class Learned(nn.Module):
    """Parameters that depend on nothing, from the zeros at which networks start.

    Args:
        out_features: how many there are.
    """

    def __init__(self, out_features: int) -> None:
        super().__init__()
        self.values = nn.Parameter(torch.zeros(out_features))

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """The same parameters for every item, ``(B, out_features)``."""
        return self.values.expand(len(x), -1)
