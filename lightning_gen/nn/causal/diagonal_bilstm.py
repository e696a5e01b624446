r"""The network of Diagonal BiLSTM (van den Oord et al., 2016, arXiv:1601.06759): two LSTMs from diagonal to diagonal."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from lightning_gen.nn.causal.base import Places
from lightning_gen.nn.causal.line_lstm import LineLSTM, lstm_cell
from lightning_gen.nn.causal.pixel_rnn import PixelRNNLayer, PixelRNNNetwork, PixelRNNState, require_features

EXTRA_COLUMNS = 1
"""Columns that the layers have right of the image; see :class:`DiagonalBiLSTMNetwork`."""


def diagonals(rows: int, columns: int) -> tuple[Tensor, list[int]]:
    """Pixels in raster numbers, one diagonal (from the upper right to the lower left) after the other and down each; how many each has."""
    row, column = torch.arange(rows)[:, None], torch.arange(columns)
    order = torch.argsort(((row + column) * rows + row).flatten())
    return order, (row + column).flatten().bincount().tolist()


class DiagonalBiLSTMLayer(PixelRNNLayer):
    """A pixel's state continues the one left of it and sees the one above; a second LSTM does so from the right.

    What the second one says of a pixel knows of pixels right of it, so it is given to the pixel below.

    Args:
        places: what the network is about.
        width: h, features of the states.
    """

    order: Tensor
    """Raster numbers of the pixels, diagonal by diagonal, from the left and from the right, ``(2, H W)``."""
    back_in_order: Tensor
    """Where each pixel stands there, ``(2, H W)``."""

    def __init__(self, places: Places, width: int) -> None:
        super().__init__(places, width, 1, LineLSTM(width, taps=2, own=1, directions=2))
        rows, columns = places.grid[0], places.grid[1] + EXTRA_COLUMNS
        order, self.lengths = diagonals(rows, columns)
        both = torch.stack([order, order + columns - 1 - 2 * (order % columns)])
        self.register_buffer("order", both, persistent=False)
        self.register_buffer("back_in_order", both.argsort(1), persistent=False)
        # A diagonal begins a row further down when it leaves the image above, and ends a row further down until it reaches the bottom.
        self.paddings = [(int(number < columns), int(number < rows)) for number in range(len(self.lengths))]

    def states(self, gates: Tensor) -> Tensor:
        grid = gates.shape[-2:]
        flat = gates.flatten(3).permute(1, 3, 0, 2).contiguous()  # D, H W, B, 4 h
        lines = torch.stack([flat[0, self.order[0]], flat[1, self.order[1]]]).split(self.lengths, 1)
        states = self.lstm(lines, self.paddings)
        left, right = (states[way, self.back_in_order[way]].unflatten(0, grid) for way in range(2))
        return (left + pad(right[:-1], (0, 0, 0, 0, 0, 0, 1, 0))).permute(2, 3, 0, 1)


@dataclass
class DiagonalBiLSTMState(PixelRNNState):
    """Besides: from the right, a row can be computed when it is complete, for it begins with its last pixel.

    Attributes:
        right: states of the second LSTM in the row above, ``(L, B, W, h)``.
        into_right: weights of its inputs, ``(L, 1, 2 h, 4 h)``.
        nothing: what stands left of the image, ``(B, h)``.
    """

    right: Tensor
    into_right: Tensor
    nothing: Tensor


class DiagonalBiLSTMNetwork(PixelRNNNetwork):
    """Diagonal BiLSTM layers; a pixel sees everything before it.

    The first layer says at a pixel what it sees before that pixel, so what it says of a row leaves out the row's last pixel. Therefore the
    layers have one column more than the image, where the second LSTM begins: without it, no pixel but the last four of a row would see the
    end of the row above.

    Args:
        places: what the network is about.
        width: h, features of the states; a multiple of the groups.
        num_layers: L, LSTM layers.
        head_width: features of the last two layers.
    """

    extra_columns = EXTRA_COLUMNS

    def __init__(self, places: Places, width: int = 16, num_layers: int = 7, head_width: int = 32) -> None:
        require_features(width, num_layers, head_width, places.groups)
        super().__init__(places, [DiagonalBiLSTMLayer(places, width) for _ in range(num_layers)], width, head_width)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        return super().forward(pad(x, (0, self.extra_columns)), context)[..., : -self.extra_columns]

    def init_state(self, x: Tensor, context: Tensor | None = None) -> DiagonalBiLSTMState:
        state = super().init_state(x, context)
        into = [layer.into.masked_weight[4 * self.width :].flatten(1).T for layer in self.layers if isinstance(layer, PixelRNNLayer)]
        nothing = x.new_zeros(len(x), self.width)
        return DiagonalBiLSTMState(
            **vars(state), right=torch.zeros_like(state.hidden), into_right=torch.stack(into)[:, None], nothing=nothing
        )

    def weights_in_row(self, layer: PixelRNNLayer) -> Tensor:
        from_left = layer.lstm.weight[0, self.width :].T
        return torch.cat([layer.into.masked_weight[: 4 * self.width].flatten(1), from_left], 1)

    def window(self, state: PixelRNNState, number: int, column: int) -> Tensor:
        assert isinstance(state, DiagonalBiLSTMState)
        left = state.hidden[number][:, column - 1] if column else state.nothing
        return torch.cat([state.maps[number][:, column], left], 1)

    def cells_before(self, state: PixelRNNState, number: int, column: int) -> Tensor:
        return state.cells[number][:, 0]

    def states_at(self, state: PixelRNNState, number: int, column: int) -> Tensor:
        assert isinstance(state, DiagonalBiLSTMState)
        return state.hidden[number][:, column] + state.right[number][:, column]

    def start_row(self, state: PixelRNNState, x: Tensor, row: int) -> None:
        assert isinstance(state, DiagonalBiLSTMState)
        if row:
            for group in range(self.places.groups):
                self.run_layers(state, x, (row - 1, self.places.grid[1], group))  # the extra column
            self.read_row_from_the_right(state)
        super().start_row(state, x, row)
        state.cells.zero_()

    def from_row_above(self, state: PixelRNNState) -> Tensor:
        return state.hidden @ state.across[:, :1, 0] + state.constant[..., : 4 * self.width]

    def read_row_from_the_right(self, state: DiagonalBiLSTMState) -> None:
        """The second LSTM of all layers over the row that has just become complete."""
        above, beside = state.across[:, 1, 0], state.across[:, 1, 1]  # L, h, 4 h
        gates = state.maps[:-1] @ state.into_right + state.right @ above[:, None] + state.constant[..., 4 * self.width :]
        hidden = cells = torch.zeros_like(state.right[:, :, 0])
        for column in reversed(range(gates.shape[2])):
            hidden, cells = lstm_cell(torch.baddbmm(gates[:, :, column], hidden, beside), cells)
            state.right[:, :, column] = hidden
