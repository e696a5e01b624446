r"""Masked networks: outputs that depend on earlier numbers of a vector only (MADE: Germain et al., 2015, arXiv:1502.03509).

Implemented: masks for any order of the inputs, degrees at equal distances, a context, and direct connections where a layer is too narrow
to have a unit for each degree. Not implemented: degrees and orders that are drawn anew in training (the paper's order- and
connectivity-agnostic training). Deviation: a context enters the first layer, and units that see nothing else carry it to the first number
too.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from lightning_gen.errors import UserError
from lightning_gen.nn.base import ACTIVATIONS, Activation
from lightning_gen.nn.conditioner import Conditioner


class MaskedLinear(nn.Linear):
    """A linear layer some of whose connections are cut; cut weights get no gradient. Glorot-initialised with zero biases.

    Args:
        mask: 1 where a connection stays, ``(out_features, in_features)``.
    """

    mask: Tensor

    def __init__(self, mask: Tensor) -> None:
        super().__init__(mask.shape[1], mask.shape[0])
        self.register_buffer("mask", mask.to(self.weight.dtype), persistent=False)
        nn.init.xavier_uniform_(self.weight)
        nn.init.zeros_(self.bias)

    @property
    def masked_weight(self) -> Tensor:
        """The weight with its cut connections at zero, ``(out_features, in_features)``."""
        return self.mask * self.weight

    def forward(self, x: Tensor) -> Tensor:
        """x ``(B, in_features)`` to ``(B, out_features)``."""
        return linear(x, self.masked_weight, self.bias)


class MaskedMLP(Conditioner):
    r"""A fully connected network whose parameters for :math:`x_i` depend on all :math:`x_j` that come before it, and on no others.

    Number the inputs by their place in the order, 0 to D - 1. A hidden unit of degree d sees (units of degrees up to d, and so) the inputs
    up to the d-th; the output for the i-th number sees units of degrees below i (the paper's Eqs. 12-13 count from 1).

    Args:
        event_size: D.
        num_parameters: P numbers for each of the D.
        hidden: widths of the hidden layers.
        order: the place of each input in the order, a permutation of 0 to D - 1, ``(D,)``; None for the order in which they stand.
        context_features: length of the context; 0 without one.
        activation: the nonlinearity.
        in_features: F, numbers that each of the D inputs consists of.
    """

    def __init__(
        self,
        event_size: int,
        num_parameters: int,
        hidden: list[int],
        order: Tensor | None = None,
        context_features: int = 0,
        activation: Activation = "relu",
        in_features: int = 1,
    ) -> None:
        super().__init__()
        if min(hidden, default=1) < 1:
            raise UserError(f"hidden: expected widths of at least 1, got {hidden}")
        places = torch.arange(event_size) if order is None else order.cpu()
        if not torch.equal(places.sort().values, torch.arange(event_size)):
            raise UserError(f"order: expected a permutation of 0 to {event_size - 1}, got {places.tolist()}")
        lowest = -1 if context_features else 0  # units of degree -1 see the context alone
        of_inputs = places.repeat(in_features)
        degrees = [of_inputs, *(hidden_degrees(event_size, width, lowest) for width in hidden)]
        of_outputs = places.repeat(num_parameters)
        masks = [after[:, None] >= before for before, after in zip(degrees, degrees[1:], strict=False)]
        layers = [MaskedLinear(mask) for mask in [*masks, of_outputs[:, None] > degrees[-1]]]
        self.layers = nn.ModuleList(layers)
        too_narrow = min(hidden, default=event_size) < event_size - 1 - lowest
        self.direct = MaskedLinear(of_outputs[:, None] > of_inputs) if too_narrow else None
        self.context = nn.Linear(context_features, layers[0].out_features, bias=False) if context_features else None
        self.activation = ACTIVATIONS[activation]()
        self.degrees = degrees[1:]
        last: list[nn.Linear | None] = [layers[-1], self.direct, None if hidden else self.context]
        for layer in last:
            if layer is not None:
                nn.init.zeros_(layer.weight)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """x ``(B, F D)`` to ``(B, P D)``: the first number of each of the D, then the second ones, and so on, in both."""
        h = self.layers[0](x)
        if self.context is not None and context is not None:
            h = h + self.context(context)
        for layer in self.layers[1:]:
            h = layer(self.activation(h))
        return h if self.direct is None else h + self.direct(x)


def hidden_degrees(event_size: int, width: int, lowest: int = 0) -> Tensor:
    """Degrees of the units of a hidden layer at equal distances, from the lowest to D - 2, both included: none is left out that fits."""
    return torch.linspace(lowest, max(event_size - 2, lowest), width, dtype=torch.float64).round().long()
