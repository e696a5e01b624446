"""From the unit interval to the line, and the shift that stands in for it."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from lightning_gen.bijections.base import Bijection, sum_event, wide, zero_log_det
from lightning_gen.errors import UserError
from lightning_gen.noise import Noise


class Logit(Bijection):
    r"""Dequantized data to the whole line, so that no density is wasted outside of the unit interval.

    .. math:: z = \mathrm{logit}(\alpha + (1 - 2\alpha) x)

    The symmetric form that public code uses; RealNVP's text (Dinh et al., 2016, arXiv:1605.08803, Section 4.1) has
    :math:`\alpha + (1 - \alpha) x`, which reaches 1.

    Args:
        alpha: keeps z finite at 0 and 1.
    """

    def __init__(self, alpha: float = 0.05) -> None:
        super().__init__()
        if not 0 < alpha < 0.5:
            raise UserError(f"model.alpha: expected a number above 0 and below 0.5, got {alpha}")
        self.alpha = alpha

    def forward(self, x: Tensor, context: Tensor | None = None, noise: Noise | None = None) -> tuple[Tensor, Tensor]:
        x = x.to(wide(x))
        s = self.alpha + (1 - 2 * self.alpha) * x
        z = torch.log(s) - torch.log1p(-s)
        return z, sum_event(math.log(1 - 2 * self.alpha) - torch.log(s) - torch.log1p(-s))

    def inverse(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        return (torch.sigmoid(z.to(wide(z))) - self.alpha) / (1 - 2 * self.alpha)


class Sigmoid(Bijection):
    """The line to the unit interval: what the last layer of a flow of noise in a cell does."""

    def forward(self, x: Tensor, context: Tensor | None = None, noise: Noise | None = None) -> tuple[Tensor, Tensor]:
        x = x.to(wide(x))
        return torch.sigmoid(x), sum_event(logsigmoid(x) + logsigmoid(-x))

    def inverse(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        z = z.to(wide(z))
        return torch.log(z) - torch.log1p(-z)


class Shift(Bijection):
    """z = x - offset.

    Args:
        offset: what is taken off; 0.5 centres dequantized data.
    """

    def __init__(self, offset: float = 0.5) -> None:
        super().__init__()
        self.offset = offset

    def forward(self, x: Tensor, context: Tensor | None = None, noise: Noise | None = None) -> tuple[Tensor, Tensor]:
        return x - self.offset, zero_log_det(x)

    def inverse(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        return z + self.offset
