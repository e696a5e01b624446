r"""Adversarial losses that several papers share: functions of logits, means over the batch.

A discriminator minimises ``*_real`` on real images plus ``*_fake`` on generated ones; what a generator minimises is ``*_generator``.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import relu, softplus


def cross_entropy_real(logits: Tensor) -> Tensor:
    r""":math:`-E[\log \sigma(l)]`."""
    return softplus(-logits).mean()


def cross_entropy_fake(logits: Tensor) -> Tensor:
    r""":math:`-E[\log(1 - \sigma(l))]`."""
    return softplus(logits).mean()


def hinge_real(logits: Tensor) -> Tensor:
    r""":math:`E[\max(0, 1 - l)]` (Lim & Ye, 2017, arXiv:1705.02894)."""
    return relu(1 - logits).mean()


def hinge_fake(logits: Tensor) -> Tensor:
    r""":math:`E[\max(0, 1 + l)]`."""
    return relu(1 + logits).mean()
