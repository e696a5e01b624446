r"""The network of Gated PixelCNN (van den Oord et al., 2016, arXiv:1606.05328, Section 2 and Figure 2), and its steps."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import glu, pad, relu

from lightning_gen.nn.causal.base import CausalNetwork, Places, require_at_least_one
from lightning_gen.nn.causal.masked_conv import (
    MaskedConv2d,
    MaskedConvSteps,
    RowsConv2d,
    RowsConvSteps,
    require_colours,
    require_dilations,
    require_neighbours,
)


class GatedLayer(nn.Module):
    r"""One layer of both stacks.

    .. math:: v' = W_v * g(v) + C c, \quad h' = h + W_o \, g(W_h * h + W_l v'), \quad g(a, b) = \tanh(a) \odot \sigma(b)

    v knows the rows above a pixel's own and nothing of that row, hence neither its convolution nor its way into h has a mask; the context c
    goes the same way. The first layer has mask A, images in place of g(v) and of h, and no residual connection.

    Args:
        places: whose inputs, colours and context.
        width: channels of h; v has twice as many before its gate.
        kernel_size: of the n x n convolution, an odd number.
        is_first: whether this is the first layer.
        dilation: of its convolutions.
    """

    def __init__(self, places: Places, width: int, kernel_size: int, is_first: bool, dilation: int = 1) -> None:
        super().__init__()
        colours = places.groups
        channels = places.in_features * colours if is_first else width
        self.is_first = is_first
        # The first layer is given images one row further down, so that this row is not a pixel's own.
        self.vertical = RowsConv2d(channels, 2 * width, (kernel_size // 2 + (not is_first), kernel_size), dilation)
        self.horizontal = MaskedConv2d(channels, 2 * width, (1, kernel_size), "A" if is_first else "B", colours, dilation)
        self.link = nn.Conv2d(2 * width, 2 * width, 1, bias=False)
        self.out = MaskedConv2d(width, width, (1, 1), "B", colours)
        self.context = nn.Linear(places.context_features, 2 * width, bias=False) if places.context_features else None

    def forward(self, v: Tensor, h: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        """v before its gate ``(B, 2 width, H, W)`` and h ``(B, width, H, W)`` to the same of the next layer."""
        v = self.vertical(v if self.is_first else gate(v))
        if self.context is not None and context is not None:
            v = v + self.context(context)[:, :, None, None]
        out = self.out(gate(self.horizontal(h) + self.link(v)))
        return v, out if self.is_first else h + out


def gate(x: Tensor) -> Tensor:
    """tanh of one half of the channels times the sigmoid of the other."""
    a, b = x.chunk(2, dim=1)
    return a.tanh() * b.sigmoid()


class LayerSteps(NamedTuple):
    """The steps of a layer.

    Attributes:
        layer: which.
        vertical: of v, row by row.
        horizontal, out: of h, place by place.
        context: what is added to v, ``(B, 2 width, 1)``.
    """

    layer: GatedLayer
    vertical: RowsConvSteps
    horizontal: MaskedConvSteps
    out: MaskedConvSteps
    context: Tensor | None

    def branch(self, column: int, colour: int) -> Tensor:
        """What the layer adds to h at a place, ``(B, width / G)``."""
        a = self.horizontal.at(column, colour)
        a[:, : a.shape[1] // 2].tanh_()
        return self.out.step(glu(a, dim=1), column, colour)


class GatedPixelCNNState(NamedTuple):
    """What :meth:`GatedPixelCNNNetwork.step` remembers.

    Attributes:
        layers: of each layer.
        head: of the last two convolutions.
    """

    layers: list[LayerSteps]
    head: tuple[MaskedConvSteps, MaskedConvSteps]


class GatedPixelCNNNetwork(CausalNetwork):
    """A vertical stack for the rows above and a horizontal one for the pixel's own row, in raster order: no blind spot.

    The rows above are seen as far as the kernels of all layers reach together, half a kernel to each side and upwards.

    Args:
        places: what the network is about.
        width: features of each stack; a multiple of the colours.
        num_layers: gated layers, the first one included.
        head_width: features between the last two convolutions; a multiple of the colours.
        first_kernel_size: of the first layer, at least 3.
        kernel_size: of the others.
        dilations: of the others, in turn.
    """

    def __init__(
        self,
        places: Places,
        width: int = 32,
        num_layers: int = 5,
        head_width: int = 32,
        first_kernel_size: int = 7,
        kernel_size: int = 5,
        dilations: list[int] = [1],
    ) -> None:
        super().__init__(places)
        require_dilations(dilations)
        require_at_least_one(num_layers=num_layers)
        require_neighbours(first_kernel_size)
        require_colours(places.groups, width=width, head_width=head_width)
        layers = [GatedLayer(places, width, first_kernel_size, is_first=True)]
        for number in range(num_layers - 1):
            layers.append(GatedLayer(places, width, kernel_size, is_first=False, dilation=dilations[number % len(dilations)]))
        self.layers = nn.ModuleList(layers)
        self.penultimate = MaskedConv2d(width, head_width, (1, 1), "B", places.groups)
        self.last = MaskedConv2d(head_width, places.num_parameters * places.groups, (1, 1), "B", places.groups)
        nn.init.zeros_(self.last.weight)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        v, h = pad(x, (0, 0, 1, -1)), x
        for layer in self.layers:
            v, h = layer(v, h, context)
        return self.last(relu(self.penultimate(relu(h))))

    # One place after the other.

    def init_state(self, x: Tensor, context: Tensor | None = None) -> GatedPixelCNNState:
        columns = self.places.grid[1]
        layers = [
            LayerSteps(
                layer,
                RowsConvSteps(layer.vertical, x, columns),
                MaskedConvSteps(layer.horizontal, x, columns, offset_by_row=True),
                MaskedConvSteps(layer.out, x, columns),
                None if layer.context is None or context is None else layer.context(context)[:, :, None],
            )
            for layer in self.layers
            if isinstance(layer, GatedLayer)
        ]
        return GatedPixelCNNState(layers, (MaskedConvSteps(self.penultimate, x, columns), MaskedConvSteps(self.last, x, columns)))

    def step(self, state: GatedPixelCNNState, x: Tensor, t: int) -> Tensor:
        row, column, colour = self.places.locate(t)
        if column == colour == 0:
            self.start_row(state, x[:, :, row - 1] if row else torch.zeros_like(x[:, :, 0]))
        elif t > 0:
            _, *before = self.places.locate(t - 1)
            state.layers[0].horizontal.put(self.places.at(x, t - 1), *before)
        h = state.layers[0].branch(column, colour)
        for layer in state.layers[1:]:
            layer.horizontal.put(h, column, colour)
            h = layer.branch(column, colour).add_(h)
        penultimate, last = state.head
        return last.step(penultimate.step(h.relu_(), column, colour).relu_(), column, colour)

    def start_row(self, state: GatedPixelCNNState, row_above: Tensor) -> None:
        """Advance the vertical stack by a row, and let the horizontal one know."""
        v = row_above
        for layer, vertical, horizontal, _, context in state.layers:
            v = vertical.step(v if layer.is_first else gate(v))
            if context is not None:
                v = v + context
            horizontal.start_row(layer.link(v.unsqueeze(2)).squeeze(2))
