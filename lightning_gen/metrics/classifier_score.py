r"""The classifier score: the Inception Score's formula (Salimans et al., 2016, arXiv:1606.03498) with any classifier."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def classifier_score(count: float, sum_p: Tensor, sum_p_log_p: float) -> float:
    r""":math:`\exp(H(y) - E_x H(y|x))` from sums over images: between 1 and the number of classes, higher is better.

    Args:
        count: number of images N.
        sum_p: sum of the predicted probabilities, ``(K,)`` float64.
        sum_p_log_p: sum over images and classes of p log p, in nats.
    """
    marginal = sum_p / count
    marginal_entropy = float(torch.special.entr(marginal).sum())
    conditional_entropy = -sum_p_log_p / count
    return math.exp(marginal_entropy - conditional_entropy)
