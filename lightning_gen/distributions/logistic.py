r"""The logistic distribution, integrated over the cells of n-bit levels."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid


def discretized_log_mass(levels: Tensor, mean: Tensor, log_scale: Tensor, top: int) -> Tensor:
    r"""log-mass of levels in nats, of the shape that all broadcast to (Salimans et al., 2017, arXiv:1701.05517).

    With levels mapped to [-1, 1] and h half their distance, :math:`P(x) = \sigma((x + h - \mu)/s) - \sigma((x - h - \mu)/s)`; the first
    cell reaches to minus infinity, the last to plus infinity. The difference is evaluated as
    :math:`\sigma(a) - \sigma(b) = \sigma(a)\,\sigma(-b)\,(1 - e^{b - a})`, which needs no special case however small it is.

    Args:
        levels: whole numbers from 0 to ``top``, in the parameters' float type.
        mean: mu.
        log_scale: log s.
        top: the last level.
    """
    centred = 2 * levels / top - 1 - mean
    inverse_scale = torch.exp(-log_scale)
    upper = (centred + 1 / top) * inverse_scale
    lower = (centred - 1 / top) * inverse_scale
    log_below_upper = torch.where(levels < top, logsigmoid(upper), 0.0)
    log_above_lower = torch.where(levels > 0, logsigmoid(-lower), 0.0)
    width = 2 / top * inverse_scale
    inner = (levels > 0) & (levels < top)
    log_overlap = torch.where(inner, torch.log(-torch.expm1(-width)), 0.0)
    return log_below_upper + log_above_lower + log_overlap


def nearest_level(x: Tensor, top: int) -> Tensor:
    """The level in whose cell x lies, in x's float type; minus and plus infinity lie in the first and the last."""
    return ((x + 1) / 2 * top).round().clamp(0, top)
