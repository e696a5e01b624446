r"""A mixture of discretised logistics for a whole pixel: the output of PixelCNN++ (Salimans et al., 2017, arXiv:1701.05517)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from lightning_gen.distributions.logistic import discretized_log_mass, nearest_level
from lightning_gen.distributions.pixels.base import PixelDistribution, in_full_precision
from lightning_gen.distributions.pixels.categorical import draw_category
from lightning_gen.errors import UserError

MAX_LOG_SCALE = 40.0
"""Ceiling of log s, beyond which there is nothing but the two outermost levels: an exponential must stay finite, of -log s likewise."""


class Mixture(NamedTuple):
    """The parameters of a pixel, apart.

    Attributes:
        logits: of the components, ``(B, K, ...)``.
        means: before they are shifted, ``(B, C, K, ...)``.
        log_scales: likewise.
        coefficients: of colour c on the colours before it, those of colour 1 first, ``(B, C (C - 1) / 2, K, ...)``.
    """

    logits: Tensor
    means: Tensor
    log_scales: Tensor
    coefficients: Tensor

    def location(self, x: Sequence[Tensor], colour: int) -> Tensor:
        """The mean of a colour in each component given the colours before it, which are x's first, ``(B, ...)`` each: ``(B, K, ...)``."""
        first = colour * (colour - 1) // 2
        mean = self.means[:, colour]
        for before in range(colour):
            mean = mean + self.coefficients[:, first + before] * x[before].unsqueeze(1)
        return mean


class DiscretizedLogisticMixture(PixelDistribution):
    r"""All colours of a pixel at once: one component for the pixel, in which the mean of each colour depends on the colours before it.

    .. math:: P(x) = \sum_k \pi_k \prod_c P_{\mathrm{logistic}}\Big(x_c;\; \mu_{ck} + \sum_{b < c} \tanh(r_{cbk})\, x_b,\; s_{ck}\Big)

    with levels mapped to [-1, 1] and each logistic integrated over the cell of a level: an exact mass, with neighbouring levels alike. The
    colours before are the true ones where a mass is asked for, those drawn (and rounded to their levels) in a draw.

    Args:
        channels, num_bits: as for every :class:`PixelDistribution`.
        num_components: K.
        min_log_scale: floor of log s.
    """

    def __init__(self, channels: int, num_bits: int, num_components: int = 10, min_log_scale: float = -7.0) -> None:
        super().__init__(channels, num_bits)
        if num_components < 1:
            raise UserError(f"model.output.num_components: expected at least 1, got {num_components}")
        if not -MAX_LOG_SCALE <= min_log_scale <= MAX_LOG_SCALE:
            raise UserError(f"model.output.min_log_scale: expected {-MAX_LOG_SCALE:g} to {MAX_LOG_SCALE:g}, got {min_log_scale}")
        self.num_components = num_components
        self.min_log_scale = min_log_scale
        self.sizes = [1, channels, channels, channels * (channels - 1) // 2]
        self.num_parameters = num_components * sum(self.sizes)
        self.num_uniforms = 1 + channels

    @property
    def groups(self) -> int:
        return 1

    def mixture(self, parameters: Tensor) -> Mixture:
        """Parameters ``(B, P, ...)`` of the network, in float32 at least."""
        parts = in_full_precision(parameters).unflatten(1, (-1, self.num_components)).split(self.sizes, dim=1)
        logits, means, log_scales, coefficients = parts
        return Mixture(logits[:, 0], means, log_scales.clamp(self.min_log_scale, MAX_LOG_SCALE), torch.tanh(coefficients))

    def log_prob(self, parameters: Tensor, levels: Tensor) -> Tensor:
        mixture = self.mixture(parameters)
        x = self.inputs(levels).to(mixture.means).unbind(1)
        locations = torch.stack([mixture.location(x, colour) for colour in range(self.channels)], dim=1)
        log_mass = discretized_log_mass(levels.to(locations.dtype).unsqueeze(2), locations, mixture.log_scales, self.num_levels - 1)
        return (log_mass.sum(1) + mixture.logits.log_softmax(1)).logsumexp(1).flatten(1).sum(1)

    def draw(self, parameters: Tensor, u: Tensor) -> Tensor:
        """The component by inversion from the first uniform number, then one colour after the other, each from its own."""
        mixture = self.mixture(parameters)
        chosen = draw_category(mixture.logits, u[:, :1])
        # A uniform number stands for a step of 2^-24, of which this is the middle: 0 itself would be minus infinity.
        logistic = torch.logit(u.to(mixture.means).clamp(min=2.0**-25))
        levels: list[Tensor] = []
        x: list[Tensor] = []
        for colour in range(self.channels):
            mean, log_scale = (values.gather(1, chosen)[:, 0] for values in (mixture.location(x, colour), mixture.log_scales[:, colour]))
            levels.append(nearest_level(mean + log_scale.exp() * logistic[:, 1 + colour], self.num_levels - 1).long())
            x.append(self.inputs(levels[-1]).to(mean))
        return torch.stack(levels, dim=1)
