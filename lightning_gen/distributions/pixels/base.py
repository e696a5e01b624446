"""What the distribution of a pixel can do whose parameters a causal network computes."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class PixelDistribution(nn.Module):
    """A distribution of integer levels at one place, given parameters that depend on the places before it.

    Args:
        channels: C, colours of a pixel.
        num_bits: bits per colour: levels are 0 ... 2^n - 1.
    """

    num_parameters: int
    """P, numbers that a network has to say of a group."""
    num_uniforms = 1
    """Uniform numbers that a draw of a group needs."""

    def __init__(self, channels: int, num_bits: int) -> None:
        super().__init__()
        self.channels = channels
        self.num_levels = 2**num_bits

    @property
    def groups(self) -> int:
        """G: every colour is a place of its own, unless a distribution ties them together itself."""
        return self.channels

    @property
    def in_features(self) -> int:
        """F, numbers that a network is given of each group."""
        return self.channels // self.groups

    def inputs(self, levels: Tensor) -> Tensor:
        """Levels ``(B, C, ...)`` as a network is given them, in [-1, 1]: ``(B, F G, ...)``; one group's levels alike."""
        return levels.to(torch.get_default_dtype()) * (2 / (self.num_levels - 1)) - 1

    def log_prob(self, parameters: Tensor, levels: Tensor) -> Tensor:
        """log-mass of images in nats, ``(B,)``.

        Args:
            parameters: ``(B, P G, H, W)``.
            levels: int64 ``(B, C, H, W)``.
        """
        raise NotImplementedError(f"{type(self).__name__} has to implement log_prob")

    def draw(self, parameters: Tensor, u: Tensor) -> Tensor:
        """Levels of one group at one pixel, int64 ``(B, C / G)``, from parameters ``(B, P)`` and uniform numbers ``(B, num_uniforms)``."""
        raise NotImplementedError(f"{type(self).__name__} has to implement draw")


def in_full_precision(parameters: Tensor) -> Tensor:
    """Parameters in float32 at least, whatever a network computes in: log-masses are sums over thousands of places."""
    return parameters.to(torch.promote_types(parameters.dtype, torch.float32))
