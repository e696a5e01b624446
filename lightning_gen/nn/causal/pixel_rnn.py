r"""What the two PixelRNNs share (van den Oord et al., 2016, arXiv:1601.06759): all but the way of their LSTMs over the image."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, pad, relu

from lightning_gen.nn.causal.base import CausalNetwork, Places, require_at_least_one
from lightning_gen.nn.causal.line_lstm import LineLSTM, lstm_cell
from lightning_gen.nn.causal.masked_conv import MaskedConv2d, require_colours

REACH = 3
"""How far the first layer, of 7 x 7 pixels, looks."""


class PixelRNNLayer(nn.Module):
    """An LSTM over an image, from 2 h features to h and back to 2 h, which the network adds to what came in.

    Args:
        places: what the network is about.
        width: h.
        kernel_size: of the convolution of the input along a row, an odd number.
        lstm: what happens from line to line.
    """

    def __init__(self, places: Places, width: int, kernel_size: int, lstm: LineLSTM) -> None:
        super().__init__()
        self.directions = len(lstm.weight)
        self.into = MaskedConv2d(2 * width, self.directions * 4 * width, (1, kernel_size), "B", places.groups)
        self.context = nn.Linear(places.context_features, self.into.out_channels, bias=False) if places.context_features else None
        self.lstm = lstm
        self.back = MaskedConv2d(width, 2 * width, (1, 1), "B", places.groups)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """x ``(B, 2 h, H, W)`` to what is added to it."""
        gates = self.into(x)
        if self.context is not None and context is not None:
            gates = gates + self.context(context)[:, :, None, None]
        return self.back(self.states(gates.unflatten(1, (self.directions, -1))))

    def states(self, gates: Tensor) -> Tensor:
        """What the input adds to the gates, ``(B, D, 4 h, H, W)``, to states ``(B, h, H, W)``."""
        raise NotImplementedError(f"{type(self).__name__} has to implement states")

    def constant(self, x: Tensor, context: Tensor | None) -> Tensor:
        """What bias and context add to the gates at every pixel, ``(B, 1, D 4 h)``."""
        constant = self.into.bias.expand(len(x), 1, -1)
        return constant + self.context(context)[:, None] if self.context is not None and context is not None else constant


@dataclass
class PixelRNNState:
    """What :meth:`PixelRNNNetwork.step` remembers; weights have their masks applied, L is the number of layers.

    Attributes:
        first: weights of the first layer for what is left in the row and the pixel itself, for each group ``(4 F G, 2 h / G)``.
        above: what the rows above add to the first layer, ``(B, W, 2 h)``; W counts extra columns.
        maps: inputs of the layers, and the output of the last, in this row, ``(L + 1, B, margin + W, 2 h)``.
        into: weights of what comes into the gates within the row, for each layer and group.
        constant: what bias and context add to the gates, ``(L, B, 1, D 4 h)``.
        across: weights from state to state, for each layer ``(L, D, taps, h, 4 h)``.
        gates: what comes into the gates from the row above, constants included, ``(L, B, W, 4 h)``.
        hidden: states of this row, and right of the pixel those of the row above, ``(L, B, W, h)``.
        cells: the cells that the next ones continue.
        back: weights and biases from the states to 2 h features, for each layer and group.
        head: likewise of the last layers.
        features: what the last layers but one have said of this pixel, ``(B, features)`` each.
    """

    first: list[Tensor]
    above: Tensor
    maps: Tensor
    into: list[list[Tensor]]
    constant: Tensor
    across: Tensor
    gates: Tensor
    hidden: Tensor
    cells: Tensor
    back: list[list[tuple[Tensor, Tensor]]]
    head: list[list[tuple[Tensor, Tensor]]]
    features: list[Tensor]


class PixelRNNNetwork(CausalNetwork):
    """A masked 7 x 7 convolution, LSTM layers with residual connections, and two masked 1 x 1 layers before the parameters.

    Within a row, a step computes the features of one group at one pixel in every layer; what the row above adds is computed for a whole row
    and all layers at once when the row begins.

    Args:
        places: what the network is about.
        layers: the LSTM layers, each from 2 h features to as many.
        width: h.
        head_width: features of the last two layers.
    """

    margin = 0
    """How many pixels left of the row the layers look at."""
    extra_columns = 0
    """How many columns the layers have right of the image."""

    def __init__(self, places: Places, layers: list[PixelRNNLayer], width: int, head_width: int) -> None:
        super().__init__(places)
        groups = places.groups
        self.width = width
        self.first = MaskedConv2d(places.in_features * groups, 2 * width, (2 * REACH + 1, 2 * REACH + 1), "A", groups)
        self.layers = nn.ModuleList(layers)
        widths = [2 * width, head_width, head_width, places.num_parameters * groups]
        of_layers = zip(widths, widths[1:], strict=False)
        self.head = nn.ModuleList(MaskedConv2d(before, after, (1, 1), "B", groups) for before, after in of_layers)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        h = self.first(x)
        for layer in self.layers:
            h = h + layer(h, context)
        for layer in self.head:
            h = layer(relu(h))
        return h

    # One place after the other.

    def init_state(self, x: Tensor, context: Tensor | None = None) -> PixelRNNState:
        groups, columns, count = self.places.groups, self.places.grid[1] + self.extra_columns, len(self.layers)
        layers = [layer for layer in self.layers if isinstance(layer, PixelRNNLayer)]
        here = self.first.masked_weight[:, :, REACH, : REACH + 1].transpose(1, 2)  # 2 h, 4, F G
        across = torch.stack([layer.lstm.weight for layer in layers])
        shape = (count, len(x), columns)
        return PixelRNNState(
            first=of_groups(here.flatten(1), groups),
            above=x.new_zeros(len(x), columns, 2 * self.width),
            maps=x.new_zeros(count + 1, len(x), self.margin + columns, 2 * self.width),
            into=[of_groups(self.weights_in_row(layer), groups) for layer in layers],
            constant=torch.stack([layer.constant(x, context) for layer in layers]),
            across=across.unflatten(2, (-1, self.width)),
            gates=x.new_zeros(*shape, 4 * self.width),
            hidden=x.new_zeros(*shape, self.width),
            cells=x.new_zeros(*shape, self.width),
            back=[pointwise(layer.back, groups) for layer in layers],
            head=[pointwise(layer, groups) for layer in self.head if isinstance(layer, MaskedConv2d)],
            features=[x.new_zeros(len(x), layer.out_channels) for layer in self.head[:-1] if isinstance(layer, MaskedConv2d)],
        )

    def weights_in_row(self, layer: PixelRNNLayer) -> Tensor:
        """Weights of a layer for what :meth:`window` gives, ``(4 h, features)``."""
        raise NotImplementedError(f"{type(self).__name__} has to implement weights_in_row")

    def window(self, state: PixelRNNState, number: int, column: int) -> Tensor:
        """What comes into the gates of a layer within the row, ``(B, features)``."""
        raise NotImplementedError(f"{type(self).__name__} has to implement window")

    def cells_before(self, state: PixelRNNState, number: int, column: int) -> Tensor:
        """The cells ``(B, h)`` of a layer that a pixel continues, of which those of a group are replaced by its own."""
        raise NotImplementedError(f"{type(self).__name__} has to implement cells_before")

    def start_row(self, state: PixelRNNState, x: Tensor, row: int) -> None:
        """Let all layers know of the rows above, which are complete."""
        self.look_above(state, x, row)
        state.gates[:] = self.from_row_above(state)

    def from_row_above(self, state: PixelRNNState) -> Tensor:
        """What the states of the row above add to the gates of the next, constants included, ``(L, B, W, 4 h)``."""
        raise NotImplementedError(f"{type(self).__name__} has to implement from_row_above")

    def states_at(self, state: PixelRNNState, number: int, column: int) -> Tensor:
        """What a layer gives back at a pixel, ``(B, h)``."""
        return state.hidden[number][:, column]

    def step(self, state: PixelRNNState, x: Tensor, t: int) -> Tensor:
        row, column, group = self.places.locate(t)
        if column == group == 0:
            self.start_row(state, x, row)
        self.run_layers(state, x, (row, column, group))
        own = slice(group, None, self.places.groups)
        h = state.maps[-1][:, self.margin + column].relu()
        for (weight, bias), features in zip((layer[group] for layer in state.head), state.features, strict=False):
            features[:, own] = torch.addmm(bias, h, weight).relu_()
            h = features
        weight, bias = state.head[-1][group]
        return torch.addmm(bias, h, weight)

    def run_layers(self, state: PixelRNNState, x: Tensor, place: tuple[int, int, int]) -> None:
        """The features of one group at one pixel in every layer."""
        row, column, group = place
        own = slice(group, None, self.places.groups)
        at = self.margin + column
        left = max(0, column - REACH)
        seen = x[:, :, row, left : column + 1].transpose(1, 2).flatten(1)  # later groups stand there too, with weights of zero
        weight = state.first[group][(REACH - column + left) * x.shape[1] :][: seen.shape[1]]
        state.maps[0][:, at, own] = torch.addmm(state.above[:, column, own], seen, weight)
        for number in range(len(self.layers)):
            self.advance(state, number, column, own)
            weight, bias = state.back[number][group]
            back = torch.addmm(bias, self.states_at(state, number, column), weight)
            torch.add(state.maps[number][:, at, own], back, out=state.maps[number + 1][:, at, own])

    def look_above(self, state: PixelRNNState, x: Tensor, row: int) -> None:
        """What the first layer sees in the rows above a new row."""
        rows = min(row, REACH)
        weight = self.first.masked_weight[:, :, REACH - rows : REACH]
        state.above[:] = self.first.bias
        if rows:
            seen = pad(x[:, :, row - rows : row], (0, self.extra_columns))
            state.above += conv2d(seen, weight, padding=(0, REACH)).squeeze(2).transpose(1, 2)

    def advance(self, state: PixelRNNState, number: int, column: int, own: slice) -> None:
        """One group's states and cells of a layer at a pixel."""
        cells = self.cells_before(state, number, column)[:, own]
        from_row = self.window(state, number, column) @ state.into[number][own.start]
        state.hidden[number][:, column, own], cells[:] = lstm_cell(state.gates[number][:, column, own] + from_row, cells)


def of_groups(weight: Tensor, groups: int) -> list[Tensor]:
    """Weights ``(out, in)`` of the outputs of each group, ``(in, out / G)``."""
    return [weight[group::groups].T for group in range(groups)]


def pointwise(layer: MaskedConv2d, groups: int) -> list[tuple[Tensor, Tensor]]:
    """Weights ``(in, out / G)`` and biases of a 1 x 1 convolution for each group."""
    weights = of_groups(layer.masked_weight.flatten(1), groups)
    return [(weight, layer.bias[group::groups]) for group, weight in enumerate(weights)]


def require_features(width: int, num_layers: int, head_width: int, groups: int) -> None:
    """Refuse widths that cannot be shared out among the groups of a pixel."""
    require_colours(groups, width=width, head_width=head_width)
    require_at_least_one(num_layers=num_layers)
