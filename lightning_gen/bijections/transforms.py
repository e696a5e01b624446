r"""Increasing functions of a number, with parameters from a network: what couplings and autoregressive layers apply to each dimension.

Parameters come as ``(B, P, *event)``: P numbers for each number of x ``(B, *event)``.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from lightning_gen.errors import UserError


class Transform(nn.Module):
    """An increasing function of each number of x.

    Args:
        event_shape: shape of x without the batch; the leading dimension holds channels.
    """

    num_parameters: int
    """P: numbers that a network computes for each number of x."""

    def __init__(self, event_shape: tuple[int, ...]) -> None:
        super().__init__()
        self.event_shape = tuple(event_shape)

    def forward(self, x: Tensor, parameters: Tensor) -> tuple[Tensor, Tensor]:
        """x ``(B, *event)`` to z and log dz/dx of each number, both of that shape."""
        raise NotImplementedError(f"{type(self).__name__} has to implement forward")

    def inverse(self, z: Tensor, parameters: Tensor) -> Tensor:
        """z to x."""
        raise NotImplementedError(f"{type(self).__name__} has to implement inverse")


class Additive(Transform):
    """z = x + t (NICE: Dinh et al., 2014, arXiv:1410.8516): the volume stays.

    Args:
        event_shape: as for every :class:`Transform`.
    """

    num_parameters = 1

    def forward(self, x: Tensor, parameters: Tensor) -> tuple[Tensor, Tensor]:
        return x + parameters[:, 0], torch.zeros_like(x)

    def inverse(self, z: Tensor, parameters: Tensor) -> Tensor:
        return z - parameters[:, 0]


class Affine(Transform):
    """z = e^s x + t, with s as the network computes it, cut smoothly where one layer alone would leave the range of floats.

    Args:
        event_shape: as for every :class:`Transform`.
        max_log_scale: the bound that s approaches, c in s = c tanh(r / c).
    """

    num_parameters = 2

    def __init__(self, event_shape: tuple[int, ...], max_log_scale: float = 5.0) -> None:
        super().__init__(event_shape)
        if not max_log_scale > 0:
            raise UserError(f"max_log_scale: expected a positive number, got {max_log_scale}")
        self.max_log_scale = max_log_scale

    def log_scale(self, raw: Tensor) -> Tensor:
        """s of the network's output for it."""
        return self.max_log_scale * torch.tanh(raw / self.max_log_scale)

    def forward(self, x: Tensor, parameters: Tensor) -> tuple[Tensor, Tensor]:
        s = self.log_scale(parameters[:, 0])
        return torch.exp(s) * x + parameters[:, 1], s

    def inverse(self, z: Tensor, parameters: Tensor) -> Tensor:
        return (z - parameters[:, 1]) * torch.exp(-self.log_scale(parameters[:, 0]))


class TanhAffine(Affine):
    r"""RealNVP's form of s (Dinh et al., 2016, arXiv:1605.08803, Section 4.1): :math:`s = g \tanh(r)`, with a learned gain g per channel.

    Args:
        event_shape: as for every :class:`Transform`.
    """

    def __init__(self, event_shape: tuple[int, ...]) -> None:
        super().__init__(event_shape)
        self.gain = nn.Parameter(torch.ones(event_shape[0], *[1] * (len(event_shape) - 1)))

    def log_scale(self, raw: Tensor) -> Tensor:
        return self.gain * torch.tanh(raw)


class SigmoidAffine(Affine):
    r"""Glow's form of the scale (Kingma & Dhariwal, 2018, arXiv:1807.03039; the authors' code): :math:`e^s = \sigma(r + 2)`, at most 1.

    Args:
        event_shape: as for every :class:`Transform`.
    """

    def log_scale(self, raw: Tensor) -> Tensor:
        return nn.functional.logsigmoid(raw + 2)


def shaped(output: Tensor, num_parameters: int, event_shape: tuple[int, ...]) -> Tensor:
    """A network's output, ``(B, P * C, H, W)`` or ``(B, P * D)``, as parameters ``(B, P, *event)``, in float32 at least."""
    output = output.to(torch.promote_types(output.dtype, torch.float32))
    return output.reshape(len(output), num_parameters, *event_shape)


def event_size(event_shape: tuple[int, ...]) -> int:
    """How many numbers one item has."""
    return math.prod(event_shape)
