r"""The network of MADE (Germain et al., 2015, arXiv:1502.03509) on a grid, with its activations one place after the other."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor

from lightning_gen.nn.base import Activation
from lightning_gen.nn.causal.base import CausalNetwork, Places, generation_order
from lightning_gen.nn.causal.sequence import as_grid, as_sequence
from lightning_gen.nn.masked import MaskedLinear, MaskedMLP


class MADEState(NamedTuple):
    """What :meth:`MADENetwork.step` remembers.

    Attributes:
        weights: of each layer with its mask applied, ``(out, in)``.
        direct: of the direct connections likewise, where there are any.
        sums: what has come into each hidden layer so far, and the context's part of the outputs behind them, ``(B, units)`` each.
        hidden: activations of the last hidden layer (the inputs where there is none) that are final; the others are zero.
        inputs: the inputs of the places before, ``(B, F D)``; the others are zero.
    """

    weights: list[Tensor]
    direct: Tensor | None
    sums: list[Tensor]
    hidden: Tensor
    inputs: Tensor


class MADENetwork(CausalNetwork):
    """A fully connected network some of whose connections are cut, in any order of generation.

    A step adds what the last place's inputs change: the units that can see it and nothing later become final, layer by layer, and all
    steps together cost about the arithmetic of one forward pass.

    Args:
        places: what the network is about.
        hidden: widths of the hidden layers; none for a direct (logistic) regression on what comes before.
        activation: their nonlinearity.
        order: the order of generation; see :func:`~lightning_gen.nn.causal.base.generation_order`.
        order_seed: seed of the random order.
    """

    places_in_order: Tensor

    def __init__(
        self,
        places: Places,
        hidden: list[int] = [500],
        activation: Activation = "relu",
        order: Literal["raster", "diagonal", "random"] = "raster",
        order_seed: int = 0,
    ) -> None:
        super().__init__(places)
        self.register_buffer("places_in_order", generation_order(order, places, order_seed), persistent=False)
        self._order = self.places_in_order.tolist()
        self.layers = MaskedMLP(
            event_size=places.count,
            num_parameters=places.num_parameters,
            hidden=hidden,
            order=self.places_in_order.argsort(),
            context_features=places.context_features,
            activation=activation,
            in_features=places.in_features,
        )

    @property
    def order(self) -> list[int]:
        return self._order

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        return self.as_grid(self.layers(self.as_vector(x), context))

    def as_vector(self, x: Tensor) -> Tensor:
        """``(B, F G, H, W)`` to ``(B, F D)``, the places in raster order."""
        return as_sequence(x, self.places).transpose(1, 2).flatten(1)

    def as_grid(self, parameters: Tensor) -> Tensor:
        """``(B, P D)`` to ``(B, P G, H, W)``."""
        return as_grid(parameters.unflatten(1, (-1, self.places.count)).transpose(1, 2), self.places)

    # One place after the other.

    def init_state(self, x: Tensor, context: Tensor | None = None) -> MADEState:
        net = self.layers
        layers = [layer for layer in net.layers if isinstance(layer, MaskedLinear)]
        weights = [layer.masked_weight for layer in layers]
        sums = [layer.bias.expand(len(x), -1).clone() for layer in layers]
        if net.context is not None and context is not None:
            sums[0] += net.context(context)
        inputs = torch.zeros_like(self.as_vector(x))
        hidden = torch.zeros_like(sums[-2]) if len(sums) > 1 else inputs
        direct = None if net.direct is None else net.direct.masked_weight
        state = MADEState(weights, direct, sums, hidden, inputs)
        self.finish_units(state, -1)  # those that see the context alone
        return state

    def step(self, state: MADEState, x: Tensor, t: int) -> Tensor:
        if t > 0:
            self.add_inputs(state, x, self.order[t - 1])
            self.finish_units(state, t - 1)
        rows = slice(self.order[t], None, self.places.count)
        parameters = state.sums[-1][:, rows] + state.hidden @ state.weights[-1][rows].T
        if state.direct is not None and self.layers.direct is not None:
            parameters = parameters + state.inputs @ state.direct[rows].T + self.layers.direct.bias[rows]
        return parameters

    def add_inputs(self, state: MADEState, x: Tensor, place: int) -> None:
        """Let the first hidden layer know of a place."""
        columns = slice(place, None, self.places.count)
        values = self.places.at(x, place)
        state.inputs[:, columns] = values
        if len(state.sums) > 1:
            state.sums[0].addmm_(values, state.weights[0][:, columns].T)

    def finish_units(self, state: MADEState, degree: int) -> None:
        """Activate the hidden units that have seen all they will, and let the next layer know."""
        for number, degrees in enumerate(self.layers.degrees):
            first, last = torch.searchsorted(degrees, torch.tensor([degree, degree + 1])).tolist()
            if first == last:
                continue
            active = self.layers.activation(state.sums[number][:, first:last])
            if number + 1 < len(self.layers.degrees):
                state.sums[number + 1].addmm_(active, state.weights[number + 1][:, first:last].T)
            else:
                state.hidden[:, first:last] = active
