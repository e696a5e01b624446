r"""Scales that do not depend on x: one per number, or a normal distribution's per channel that a condition may set."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lightning_gen.bijections.base import Bijection, wide
from lightning_gen.noise import Noise


class Scaling(Bijection):
    r"""A learned scale of each number, :math:`z_i = e^{s_i} x_i`, at first 1 (NICE: Dinh et al., 2014, arXiv:1410.8516, Section 3.3).

    Args:
        event_shape: of x, without the batch.
    """

    def __init__(self, event_shape: tuple[int, ...]) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.zeros(event_shape))

    def forward(self, x: Tensor, context: Tensor | None = None, noise: Noise | None = None) -> tuple[Tensor, Tensor]:
        return self.log_scale.exp() * x.to(wide(x)), self.log_scale.sum().to(wide(x)).expand(len(x))

    def inverse(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        return torch.exp(-self.log_scale) * z.to(wide(z))


class LearnedNormal(Bijection):
    r"""A normal prior with learned mean and scale per channel, which a condition c may move, written as a bijection onto N(0, I).

    .. math:: z_k = (x_k - \mu_k(c)) e^{-s_k(c)}, \qquad (\mu, s)(c) = b + A c

    Glow's top prior (Kingma & Dhariwal, 2018, arXiv:1807.03039; the authors' code): b and A start at 0. Without a context A is not there.

    Args:
        num_channels: C (numbers of a vector).
        num_dims: dimensions of the data, 3 for images and 1 for vectors.
        context_features: length of c; 0 without a condition.
    """

    log_scale: Tensor | None = None
    """By what the last batch was scaled, for those who look for extreme scales."""

    def __init__(self, num_channels: int, num_dims: int = 3, context_features: int = 0) -> None:
        super().__init__()
        self.num_dims = num_dims
        self.moments = nn.Parameter(torch.zeros(2 * num_channels))
        self.slope = nn.Parameter(torch.zeros(2 * num_channels, context_features)) if context_features else None

    def mean_and_log_scale(self, context: Tensor | None) -> tuple[Tensor, Tensor]:
        """Both ``(B, C, 1, 1)``, or ``(1, C, 1, 1)`` without a condition; without the trailing ones for vectors."""
        moments = self.moments.unsqueeze(0)
        if self.slope is not None:
            assert context is not None
            with torch.autocast(context.device.type, enabled=False):  # they are a density's parameters
                moments = moments + context.to(self.slope.dtype) @ self.slope.mT
        mean, log_scale = moments.view(*moments.shape, *[1] * (self.num_dims - 1)).chunk(2, dim=1)
        return mean, log_scale

    def forward(self, x: Tensor, context: Tensor | None = None, noise: Noise | None = None) -> tuple[Tensor, Tensor]:
        x = x.to(wide(x))
        mean, log_scale = self.mean_and_log_scale(context)
        self.log_scale = -log_scale.detach()
        log_det = -log_scale.flatten(1).sum(1).to(x.dtype) * x[0, 0].numel()
        return (x - mean) * torch.exp(-log_scale), log_det.expand(len(x))

    def inverse(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        mean, log_scale = self.mean_and_log_scale(context)
        return mean + torch.exp(log_scale) * z.to(wide(z))
