r"""Vector fields f(z, t): what the right-hand side of an ordinary differential equation says of z at the time t.

Softplus (images) or tanh (vectors) between the layers, since the trace of df/dz is trained: the second derivative of a ReLU is zero almost
everywhere. The last layer starts at zero, so that nothing moves at first.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from lightning_gen.errors import UserError
from lightning_gen.nn.conditioner import start_at_zero
from lightning_gen.nn.conv import require_width


class VectorField(nn.Module):
    """A smooth map of an item and a time to a velocity."""

    def forward(self, t: Tensor, z: Tensor) -> Tensor:
        """The time t ``()`` and z ``(B, *event)`` to dz/dt of z's shape."""
        raise NotImplementedError(f"{type(self).__name__} has to implement forward")


class ConvField(VectorField):
    """3x3 convolutions; each sees the time as one more channel (the "concat" layers of FFJORD, arXiv:1810.01367).

    Args:
        channels: of z.
        width: channels of the hidden layers.
        num_layers: hidden layers.
    """

    def __init__(self, channels: int, width: int = 64, num_layers: int = 3) -> None:
        super().__init__()
        require_width(width)
        require_layers(num_layers)
        sizes = [channels, *[width] * num_layers, channels]
        self.layers = nn.ModuleList(nn.Conv2d(before + 1, after, 3, padding=1) for before, after in zip(sizes, sizes[1:], strict=False))
        start_at_zero(self.layers[-1])

    def forward(self, t: Tensor, z: Tensor) -> Tensor:
        time = t.to(z.dtype).expand(len(z), 1, *z.shape[2:])
        *hidden, last = self.layers
        for layer in hidden:
            z = softplus(layer(torch.cat([z, time], dim=1)))
        return last(torch.cat([z, time], dim=1))


class ConcatSquash(nn.Module):
    r"""A linear layer that the time gates and shifts: :math:`(W z + b) \odot \sigma(t u + v) + t w` (the authors' code of FFJORD).

    Args:
        in_features, out_features: numbers in and out.
    """

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__()
        self.linear = nn.Linear(in_features, out_features)
        self.gate = nn.Linear(1, out_features)
        self.shift = nn.Linear(1, out_features, bias=False)

    def forward(self, t: Tensor, z: Tensor) -> Tensor:
        """z ``(B, D)`` at the time t ``()`` to ``(B, D')``."""
        time = t.to(z.dtype).view(1, 1)
        return self.linear(z) * torch.sigmoid(self.gate(time)) + self.shift(time)


class MLPField(VectorField):
    """Fully connected :class:`ConcatSquash` layers, with tanh between them, as the authors' code has it for the plane.

    Args:
        event_shape: of z.
        width: units of the hidden layers.
        num_layers: hidden layers.
    """

    def __init__(self, event_shape: tuple[int, ...], width: int = 64, num_layers: int = 3) -> None:
        super().__init__()
        require_width(width)
        require_layers(num_layers)
        size = math.prod(event_shape)
        sizes = [size, *[width] * num_layers, size]
        layers = [ConcatSquash(before, after) for before, after in zip(sizes, sizes[1:], strict=False)]
        start_at_zero(layers[-1].linear)
        start_at_zero(layers[-1].shift)
        self.layers = nn.ModuleList(layers)

    def forward(self, t: Tensor, z: Tensor) -> Tensor:
        h = z.flatten(1)
        *hidden, last = self.layers
        for layer in hidden:
            h = torch.tanh(layer(t, h))
        return last(t, h).view_as(z)


def require_layers(num_layers: int) -> None:
    """Refuse a field without a hidden layer."""
    if num_layers < 1:
        raise UserError(f"num_layers: expected at least 1, got {num_layers}")
