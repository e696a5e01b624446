r"""The network of PixelCNN (van den Oord et al., 2016, arXiv:1601.06759, Section 3.4 and Table 1), and its steps."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn
from torch.nn.functional import relu

from lightning_gen.nn.causal.base import CausalNetwork, Places, require_at_least_one
from lightning_gen.nn.causal.masked_conv import MaskedConv2d, MaskedConvSteps, require_colours, require_dilations, require_neighbours


class ResidualBlock(nn.Module):
    """x + 1x1 relu 3x3 relu 1x1 relu of x, with mask B: 2h channels outside and h within.

    Args:
        width: h.
        kernel_size: of the middle one.
        colours: G.
        dilation: of the middle one.
    """

    def __init__(self, width: int, kernel_size: int, colours: int, dilation: int) -> None:
        super().__init__()
        self.reduce = MaskedConv2d(2 * width, width, (1, 1), "B", colours)
        self.middle = MaskedConv2d(width, width, (kernel_size, kernel_size), "B", colours, dilation)
        self.expand = MaskedConv2d(width, 2 * width, (1, 1), "B", colours)

    def forward(self, x: Tensor) -> Tensor:
        """x ``(B, 2 h, H, W)`` to the same shape."""
        return x + self.expand(relu(self.middle(relu(self.reduce(relu(x))))))


class PixelCNNState(NamedTuple):
    """What :meth:`PixelCNNNetwork.step` remembers: the steps of each convolution.

    Attributes:
        first: of the 7x7 one.
        blocks: of each block's three.
        head: of the last two.
        context: what the context adds to the first, ``(B, 2 h, 1)``.
    """

    first: MaskedConvSteps
    blocks: list[tuple[MaskedConvSteps, MaskedConvSteps, MaskedConvSteps]]
    head: tuple[MaskedConvSteps, MaskedConvSteps]
    context: Tensor | None


class PixelCNNNetwork(CausalNetwork):
    r"""A stack of masked convolutions, in raster order.

    It has the paper's blind spot: each layer sees one more row above and, of the row d above a pixel, at most so many columns on the right,
    so that a wedge on the upper right is never seen, however many layers there are: with kernels of first and k, of the row d above the
    columns beyond first // 2 + (d - 1) (k // 2).

    Args:
        places: what the network is about.
        width: h; features outside the blocks are 2h; a multiple of the colours.
        num_blocks: residual blocks.
        head_width: features of the last hidden layer; a multiple of the colours.
        first_kernel_size: of the first convolution.
        kernel_size: of the blocks.
        dilations: of the blocks' convolutions, in turn.
    """

    def __init__(
        self,
        places: Places,
        width: int = 16,
        num_blocks: int = 7,
        head_width: int = 32,
        first_kernel_size: int = 7,
        kernel_size: int = 3,
        dilations: list[int] = [1],
    ) -> None:
        super().__init__(places)
        require_dilations(dilations)
        require_neighbours(first_kernel_size)
        require_colours(places.groups, width=width, head_width=head_width)
        require_at_least_one(num_blocks=num_blocks)
        colours = places.groups
        first = (first_kernel_size, first_kernel_size)
        self.first = MaskedConv2d(places.in_features * colours, 2 * width, first, "A", colours)
        self.context = nn.Linear(places.context_features, 2 * width, bias=False) if places.context_features else None
        self.blocks = nn.ModuleList(
            ResidualBlock(width, kernel_size, colours, dilations[number % len(dilations)]) for number in range(num_blocks)
        )
        self.penultimate = MaskedConv2d(2 * width, head_width, (1, 1), "B", colours)
        self.last = MaskedConv2d(head_width, places.num_parameters * colours, (1, 1), "B", colours)
        nn.init.zeros_(self.last.weight)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        h = self.first(x)
        if self.context is not None and context is not None:
            h = h + self.context(context)[:, :, None, None]
        for block in self.blocks:
            h = block(h)
        return self.last(relu(self.penultimate(relu(h))))

    # One place after the other.

    def init_state(self, x: Tensor, context: Tensor | None = None) -> PixelCNNState:
        def steps(conv: MaskedConv2d) -> MaskedConvSteps:
            return MaskedConvSteps(conv, x, self.places.grid[1])

        added = None if self.context is None or context is None else self.context(context)[:, :, None]
        layers = [block for block in self.blocks if isinstance(block, ResidualBlock)]
        blocks = [(steps(block.reduce), steps(block.middle), steps(block.expand)) for block in layers]
        return PixelCNNState(
            MaskedConvSteps(self.first, x, self.places.grid[1], offset_by_row=True),
            blocks,
            (steps(self.penultimate), steps(self.last)),
            added,
        )

    def step(self, state: PixelCNNState, x: Tensor, t: int) -> Tensor:
        _, column, colour = self.places.locate(t)
        if t > 0:
            _, *before = self.places.locate(t - 1)
            state.first.put(self.places.at(x, t - 1), *before)
        if column == colour == 0:
            state.first.start_row(state.context)
            for _, middle, _ in state.blocks:
                middle.start_row()
        h = state.first.at(column, colour)
        for reduce, middle, expand in state.blocks:
            inner = reduce.step(relu(h), column, colour).relu_()
            h = h + expand.step(middle.step(inner, column, colour).relu_(), column, colour)
        penultimate, last = state.head
        return last.step(penultimate.step(h.relu_(), column, colour).relu_(), column, colour)
