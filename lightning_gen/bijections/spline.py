"""Splines as increasing functions: as flexible as one asks for, with an inverse in closed form."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad, softplus

from lightning_gen.bijections.transforms import Transform
from lightning_gen.errors import UserError


class Bin(NamedTuple):
    """The piece of a spline in which a number lies: its lower left corner, its size, and the slopes at both ends, each ``(B, *event)``."""

    left: Tensor
    width: Tensor
    bottom: Tensor
    height: Tensor
    slope: Tensor
    next_slope: Tensor


class RationalQuadraticSpline(Transform):
    r"""A monotonic rational-quadratic spline on [-B, B], the identity outside (Durkan et al., 2019, arXiv:1906.04032, Section 3.1).

    In a bin of width w and height h with slopes :math:`\delta_0, \delta_1` at its ends, for :math:`\xi = (x - x_0) / w` and s = h / w:

    .. math:: z = z_0 + \frac{h\,(s \xi^2 + \delta_0 \xi (1 - \xi))}{s + (\delta_0 + \delta_1 - 2s)\, \xi (1 - \xi)}

    The slope is 1 at -B and B, where the identity goes on, so z has a continuous derivative. Parameters are, in this order, K logits of the
    widths, K of the heights, and K - 1 raw slopes; zeros give the identity.

    Args:
        event_shape: as for every :class:`Transform`.
        num_bins: K.
        bound: B; data beyond are left as they are.
        smallest_bin: width and height of a bin are at least this share of 2B.
        smallest_slope: slopes at the knots are at least this.
    """

    def __init__(
        self,
        event_shape: tuple[int, ...],
        num_bins: int = 8,
        bound: float = 3.0,
        smallest_bin: float = 1e-3,
        smallest_slope: float = 1e-3,
    ) -> None:
        super().__init__(event_shape)
        if not 0 < smallest_bin < 0.5:
            raise UserError(f"smallest_bin: expected a number above 0 and below 1/2, got {smallest_bin}")
        if num_bins < 2:
            raise UserError(f"num_bins: expected at least 2, got {num_bins}")
        if not num_bins < 1 / smallest_bin:
            raise UserError(f"num_bins: expected fewer than {1 / smallest_bin:g}, of at least {smallest_bin:g} each, got {num_bins}")
        if not bound > 0:
            raise UserError(f"bound: expected a positive number, got {bound}")
        if not 0 < smallest_slope < 1:
            raise UserError(f"smallest_slope: expected a number above 0 and below 1, got {smallest_slope}")
        self.num_bins, self.bound = num_bins, bound
        self.smallest_bin, self.smallest_slope = smallest_bin, smallest_slope
        self.num_parameters = 3 * num_bins - 1

    def knots(self, parameters: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """x and z of the knots, and the slopes there, ``(B, K + 1, *event)`` each."""
        widths, heights, slopes = parameters.split([self.num_bins, self.num_bins, self.num_bins - 1], dim=1)
        one_at_zero = math.log(math.expm1(1 - self.smallest_slope))
        slopes = self.smallest_slope + softplus(slopes + one_at_zero)
        return self.places(widths), self.places(heights), around(slopes, 1.0, 1.0)

    def places(self, logits: Tensor) -> Tensor:
        """Where the knots are, from -B to B, ``(B, K + 1, *event)``."""
        shares = self.smallest_bin + (1 - self.smallest_bin * self.num_bins) * logits.softmax(dim=1)
        inner = self.bound * (2 * shares[:, :-1].cumsum(dim=1) - 1)
        return around(inner, -self.bound, self.bound)

    def bin_of(self, values: Tensor, parameters: Tensor, axis: int) -> Bin:
        """The bin in which values lie by their x (axis 0) or by their z (axis 1)."""
        x, z, slopes = self.knots(parameters)
        index = (values.unsqueeze(1) >= (x, z)[axis][:, 1:-1]).sum(dim=1, keepdim=True)
        (left, right), (bottom, top), (slope, next_slope) = (
            (knots.gather(1, index).squeeze(1), knots.gather(1, index + 1).squeeze(1)) for knots in (x, z, slopes)
        )
        return Bin(left, right - left, bottom, top - bottom, slope, next_slope)

    def forward(self, x: Tensor, parameters: Tensor) -> tuple[Tensor, Tensor]:
        within = x.clamp(-self.bound, self.bound)  # numbers outside must not disturb gradients
        piece = self.bin_of(within, parameters, axis=0)
        s = piece.height / piece.width
        xi = (within - piece.left) / piece.width
        left, both, right = (1 - xi).square(), xi * (1 - xi), xi.square()
        denominator = s * (left + right) + (piece.slope + piece.next_slope) * both  # the paper's, as a sum of what is positive
        z = piece.bottom + piece.height * (s * right + piece.slope * both) / denominator
        numerator = piece.slope * left + 2 * s * both + piece.next_slope * right
        log_slope = 2 * torch.log(s) + torch.log(numerator) - 2 * torch.log(denominator)
        inside = x.abs() < self.bound
        return torch.where(inside, z, x), torch.where(inside, log_slope, 0.0)

    def inverse(self, z: Tensor, parameters: Tensor) -> Tensor:
        r"""The root of a quadratic, for :math:`u = (z - z_0) / h` and :math:`t = \xi / (1 - \xi)`:

        .. math:: s (1 - u)\, t^2 + (\delta_0 (1 - u) - \delta_1 u)\, t - s u = 0

        Its coefficients have signs that let neither the discriminant nor, with the form for the sign of b, the root cancel; the paper's
        quadratic in xi cancels where the slope is far from that of the neighbouring knots.
        """
        within = z.clamp(-self.bound, self.bound)
        piece = self.bin_of(within, parameters, axis=1)
        s = piece.height / piece.width
        u = ((within - piece.bottom) / piece.height).clamp(0, 1)
        b = piece.slope * (1 - u) - piece.next_slope * u
        root = torch.sqrt(b.square() + 4 * s.square() * u * (1 - u))
        below, above = 2 * s * u, 2 * s * (1 - u)
        xi = torch.where(b >= 0, below / (below + root + b), (root - b) / (root - b + above))
        return torch.where(z.abs() < self.bound, piece.left + piece.width * xi, z)


def around(inner: Tensor, first: float, last: float) -> Tensor:
    """What lies along dimension 1 with a number before it and one after it."""
    sides = [0, 0] * (inner.dim() - 2)
    return pad(pad(inner, [*sides, 1, 0], value=first), [*sides, 0, 1], value=last)
