r"""An LSTM (Hochreiter & Schmidhuber, 1997) over the raster of places, told where each of them stands."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from lightning_gen.nn.causal.base import CausalNetwork, Places, require_at_least_one
from lightning_gen.nn.causal.sequence import RasterInputs, as_grid


class RecurrentState(NamedTuple):
    """What :meth:`CoordinatePixelRNNNetwork.step` remembers.

    Attributes:
        layers: of each layer its output and its cell, ``(B, hidden_size)`` each.
        weights: of each layer from below, from before, and both biases.
        context: ``(B, E)``, with E = 0 where there is none.
    """

    layers: list[tuple[Tensor, Tensor]]
    weights: list[tuple[Tensor, ...]]
    context: Tensor


class CoordinatePixelRNNNetwork(CausalNetwork):
    """Layers of LSTM and a linear map of the last one's outputs; the context stands beside the inputs of every place.

    Args:
        places: what the network is about.
        hidden_size: units of a layer.
        num_layers: layers.
        coordinates: whether row, column and colour of the place that is predicted are inputs.
    """

    def __init__(self, places: Places, hidden_size: int = 256, num_layers: int = 1, coordinates: bool = True) -> None:
        super().__init__(places)
        require_at_least_one(hidden_size=hidden_size, num_layers=num_layers)
        self.inputs = RasterInputs(places, coordinates)
        self.lstm = nn.LSTM(self.inputs.features + places.context_features, hidden_size, num_layers, batch_first=True)
        self.last = nn.Linear(hidden_size, places.num_parameters)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        inputs = self.inputs(x)
        if context is not None:
            inputs = torch.cat([inputs, context[:, None].expand(-1, inputs.shape[1], -1)], -1)
        return as_grid(self.last(self.lstm(inputs)[0]), self.places)

    def init_state(self, x: Tensor, context: Tensor | None = None) -> RecurrentState:
        zeros = x.new_zeros(len(x), self.lstm.hidden_size)
        layers = [(zeros, zeros)] * self.lstm.num_layers
        weights: list[tuple[Tensor, ...]] = [tuple(layer) for layer in self.lstm.all_weights]
        return RecurrentState(layers, weights, x.new_zeros(len(x), 0) if context is None else context)

    def step(self, state: RecurrentState, x: Tensor, t: int) -> Tensor:
        h = torch.cat([self.inputs.at(x, t), state.context], 1)
        for number, weights in enumerate(state.weights):
            h, cell = torch.lstm_cell(h, state.layers[number], *weights)
            state.layers[number] = h, cell
        return self.last(h)
