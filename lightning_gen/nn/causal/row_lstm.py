r"""The network of Row LSTM (van den Oord et al., 2016, arXiv:1601.06759): an LSTM from row to row."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import pad

from lightning_gen.nn.causal.base import Places
from lightning_gen.nn.causal.line_lstm import LineLSTM, neighbours
from lightning_gen.nn.causal.masked_conv import require_odd
from lightning_gen.nn.causal.pixel_rnn import PixelRNNLayer, PixelRNNNetwork, PixelRNNState, require_features


class RowLSTMLayer(PixelRNNLayer):
    """A pixel's state continues the one above it and sees those beside that: all in all a triangle of the rows above.

    Args:
        places: what the network is about.
        width: h, features of the states.
        kernel_size: of the convolutions along a row, an odd number.
    """

    def __init__(self, places: Places, width: int, kernel_size: int) -> None:
        super().__init__(places, width, kernel_size, LineLSTM(width, taps=kernel_size, own=kernel_size // 2))

    def states(self, gates: Tensor) -> Tensor:
        rows, columns, reach = *gates.shape[-2:], self.lstm.own
        lines = gates.permute(3, 1, 4, 0, 2).contiguous().unbind()
        paddings = [(columns + 2 * reach, 0)] + [(reach, reach)] * (rows - 1)
        return self.lstm(lines, paddings)[0].unflatten(0, (rows, columns)).permute(2, 3, 0, 1)


class RowLSTMNetwork(PixelRNNNetwork):
    """Row LSTM layers; a pixel sees a triangle of the rows above and nearby pixels left of it.

    Args:
        places: what the network is about.
        width: h, features of the states; a multiple of the groups.
        num_layers: L, LSTM layers.
        head_width: features of the last two layers.
        kernel_size: of the convolutions along a row, an odd number.
    """

    def __init__(self, places: Places, width: int = 16, num_layers: int = 7, head_width: int = 32, kernel_size: int = 3) -> None:
        require_features(width, num_layers, head_width, places.groups)
        require_odd(kernel_size=kernel_size)
        super().__init__(places, [RowLSTMLayer(places, width, kernel_size) for _ in range(num_layers)], width, head_width)
        self.margin = kernel_size // 2

    def weights_in_row(self, layer: PixelRNNLayer) -> Tensor:
        return layer.into.masked_weight[:, :, 0, : self.margin + 1].transpose(1, 2).flatten(1)

    def window(self, state: PixelRNNState, number: int, column: int) -> Tensor:
        return state.maps[number][:, column : column + self.margin + 1].flatten(1)

    def cells_before(self, state: PixelRNNState, number: int, column: int) -> Tensor:
        return state.cells[number][:, column]

    def from_row_above(self, state: PixelRNNState) -> Tensor:
        seen = neighbours(pad(state.hidden, (0, 0, self.margin, self.margin)), 2 * self.margin + 1, dim=2)
        return seen @ state.across.flatten(2, 3) + state.constant
