"""Networks that say what a layer of a flow does to one part of x, given the other part: ``(x, context) -> parameters``.

Their last layer starts at zero, so that the layer starts as (nearly) the identity.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from lightning_gen.errors import UserError
from lightning_gen.nn.base import ACTIVATIONS, Activation
from lightning_gen.nn.conv import require_width
from lightning_gen.nn.mlp import mlp

_CLASSES: dict[tuple[type, ...], type] = {}


class Conditioner(nn.Module):
    """What layers of flows ask for parameters."""

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """x ``(B, C, ...)`` and, for networks that take one, a context ``(B, F)`` or ``(B, F, ...)`` to parameters ``(B, P C', ...)``."""
        raise NotImplementedError(f"{type(self).__name__} has to implement forward")


class MLPConditioner(Conditioner):
    """Fully connected; the context is appended to x.

    Args:
        event_shape: of x; what is said of it is flat.
        out_features: numbers to say.
        hidden: widths of the hidden layers.
        context_features: length of the context; 0 without one.
        activation: the nonlinearity.
    """

    def __init__(
        self,
        event_shape: tuple[int, ...],
        out_features: int,
        hidden: list[int],
        context_features: int = 0,
        activation: Activation = "relu",
    ) -> None:
        super().__init__()
        self.layers = mlp(math.prod(event_shape) + context_features, hidden, out_features, ACTIVATIONS[activation]())
        self.takes_context = context_features > 0
        start_at_zero(self.layers[-1])

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        x = x.flatten(1)
        return self.layers(torch.cat([x, context], dim=1) if self.takes_context and context is not None else x)


class WeightNormBlock(nn.Module):
    """ReLU and a 3x3 convolution, twice, added to the input; weights normalised (Salimans & Kingma, 2016, arXiv:1602.07868).

    Args:
        width: channels.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        convolutions = [weight_normalized(nn.Conv2d(width, width, 3, padding=1)) for _ in range(2)]
        self.layers = nn.Sequential(nn.ReLU(), convolutions[0], nn.ReLU(), convolutions[1])

    def forward(self, x: Tensor) -> Tensor:
        """x ``(B, width, H, W)`` plus what the layers say."""
        return x + self.layers(x)


class WeightNormResNet(Conditioner):
    """The residual network of RealNVP's couplings (Dinh et al., 2016, arXiv:1605.08803, Section 4.1), without batch normalisation.

    Batch statistics inside of a coupling's network make training and evaluation different densities.

    Args:
        in_channels, out_channels: of x and of the parameters.
        width: channels of the residual blocks.
        num_blocks: how many there are.
    """

    def __init__(self, in_channels: int, out_channels: int, width: int = 64, num_blocks: int = 8) -> None:
        super().__init__()
        require_width(width)
        if num_blocks < 1:
            raise UserError(f"num_blocks: expected at least 1, got {num_blocks}")
        self.first = weight_normalized(nn.Conv2d(in_channels, width, 3, padding=1))
        self.blocks = nn.Sequential(*(WeightNormBlock(width) for _ in range(num_blocks)))
        self.last = nn.Conv2d(width, out_channels, 1)
        start_at_zero(self.last)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        return self.last(torch.relu(self.blocks(self.first(x))))


def weight_normalized(layer: nn.Conv2d) -> nn.Conv2d:
    """The layer with normalised weights (arXiv:1602.07868), of the same class as every other one.

    torch makes a class for each layer, by which a compiled graph knows it: networks of one shape would be compiled one by one.
    """
    weight_norm(layer)
    layer.__class__ = _CLASSES.setdefault(layer.__class__.__bases__, layer.__class__)
    return layer


def start_at_zero(layer: nn.Module) -> None:
    """Let a layer say zero at first."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
