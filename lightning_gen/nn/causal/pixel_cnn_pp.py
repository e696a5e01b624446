r"""The network of PixelCNN++ (Salimans et al., 2017, arXiv:1701.05517): two streams, at three resolutions, with shortcuts between them."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, conv_transpose2d, elu, pad

from lightning_gen.errors import UserError
from lightning_gen.nn.causal.base import CausalNetwork, Places, require_at_least_one
from lightning_gen.nn.causal.pixel_cnn_pp_steps import PixelCNNPPState
from lightning_gen.nn.data_dependent import DataDependent, moments
from lightning_gen.nn.gated_attention import concatenated_elu, dropout_layer, gated

NUM_RESOLUTIONS = 3
SMALLEST_DEVIATION = 1e-4
"""A channel that hardly varies over the first batch keeps its scale; it would be blown up to its rounding errors."""
BRANCH_SCALE = 0.1
"""Standard deviation of a residual branch at the start."""

Rows = tuple[int, int, int, int]
"""Columns to add left and right, rows to add above and below: what :func:`torch.nn.functional.pad` is given."""

ABOVE: Rows = (1, 1, 1, 0)
"""Of a 2x3 convolution: it sees its own row and the one above, to both sides."""
ABOVE_AND_LEFT: Rows = (1, 0, 1, 0)
"""Of a 2x2 convolution: it sees its own place, the one to the left, and the two above these."""


class WeightNormConvolution(DataDependent):
    r"""A convolution with normalised weights (Salimans & Kingma, 2016, arXiv:1602.07868), :math:`y_c = g_c\, v_c / |v_c| * x + b_c`.

    The first global batch sets g and b so that every channel of y has mean 0 and a standard deviation that is asked for.

    Args:
        in_channels, out_channels: of x and y.
        kernel_size: (height, width).
        padding: in the form of :func:`torch.nn.functional.pad`; negative numbers cut.
        stride: distance of the places at which y is computed.
        scale: the standard deviation at the start.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: tuple[int, int] = (1, 1),
        padding: Rows = (0, 0, 0, 0),
        stride: int = 1,
        scale: float = 1.0,
    ) -> None:
        super().__init__()
        self.direction = nn.Parameter(0.05 * torch.randn(out_channels, in_channels, *kernel_size))
        self.gain = nn.Parameter(torch.full((out_channels,), scale))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        self.padding, self.stride, self.scale = padding, stride, scale

    @property
    def weight(self) -> Tensor:
        """g v / |v|, ``(out_channels, in_channels, height, width)``."""
        norm = self.direction.flatten(1).norm(dim=1)
        return self.direction * (self.gain / norm).view(-1, 1, 1, 1)

    def initialize(self, x: Tensor) -> None:
        with torch.no_grad():
            self.gain.fill_(1.0)
            self.bias.zero_()
            mean, variance = moments(self.convolved(x))
            deviation = variance.sqrt()
            gain = self.scale / torch.where(deviation > SMALLEST_DEVIATION, deviation, 1.0)
            self.gain.copy_(gain)
            self.bias.copy_(-mean * gain)

    def convolved(self, x: Tensor) -> Tensor:
        """The convolution, of every resolution and padding."""
        return conv2d(pad(x, self.padding), self.weight, self.bias, self.stride)

    def forward(self, x: Tensor) -> Tensor:
        """x ``(B, C, H, W)`` to y ``(B, C', H / stride, W / stride)``."""
        self.begin(x)
        return self.convolved(x)


class WeightNormUpsampling(WeightNormConvolution):
    """The transposed convolution of stride 2, which doubles the resolution; the padding is what is cut from what it makes."""

    def convolved(self, x: Tensor) -> Tensor:
        return pad(conv_transpose2d(x, self.weight.transpose(0, 1), self.bias, stride=2), self.padding)


class GatedResNet(nn.Module):
    r"""x + a sigmoid(b) with (a, b) = W2 f(W1 f(x) + V f(shortcut)) + U context, and f a concatenated ELU.

    Args:
        width: channels of x.
        kernel_size, padding: of W1 and W2, which are shifted; V is 1x1.
        shortcut_channels: of the shortcut; 0 for none.
        context_features: of the context; 0 for none.
        dropout: in front of W2.
    """

    def __init__(
        self, width: int, kernel_size: tuple[int, int], padding: Rows, shortcut_channels: int, context_features: int, dropout: float
    ) -> None:
        super().__init__()
        self.first = WeightNormConvolution(2 * width, width, kernel_size, padding)
        self.shortcut = WeightNormConvolution(2 * shortcut_channels, width) if shortcut_channels else None
        self.dropout = dropout_layer(dropout)
        self.second = WeightNormConvolution(2 * width, 2 * width, kernel_size, padding, scale=BRANCH_SCALE)
        self.context = nn.Linear(context_features, 2 * width, bias=False) if context_features else None

    def forward(self, x: Tensor, shortcut: Tensor | None = None, context: Tensor | None = None) -> Tensor:
        """x ``(B, width, H, W)``, the shortcut of the same size and the context ``(B, E)`` to x's shape."""
        h = self.first(concatenated_elu(x))
        if self.shortcut is not None and shortcut is not None:
            h = h + self.shortcut(concatenated_elu(shortcut))
        branch = self.second(self.dropout(concatenated_elu(h)))
        if self.context is not None and context is not None:
            branch = branch + self.context(context)[..., None, None]
        return x + gated(branch)


class Resolution(nn.Module):
    """What happens at one resolution: blocks on the way down, everything at half the resolution, blocks on the way up.

    Stream u sees the rows above; stream ul those and what is to the left. Each block of ul is told of u, and each block on the way up of
    what its counterpart on the way down has made.

    Args:
        number: of the resolution, from 0 for the image's own.
        width, num_blocks, context_features, dropout: as for :class:`PixelCNNPPNetwork`.
    """

    def __init__(self, number: int, width: int, num_blocks: int, context_features: int, dropout: float) -> None:
        super().__init__()
        is_last = number + 1 == NUM_RESOLUTIONS

        def blocks(kernel_size: tuple[int, int], padding: Rows, shortcuts: int, count: int) -> nn.ModuleList:
            options = (width, kernel_size, padding, shortcuts * width, context_features, dropout)
            return nn.ModuleList(GatedResNet(*options) for _ in range(count))

        num_up = num_blocks + (not is_last)
        self.down_u, self.down_ul = blocks((2, 3), ABOVE, 0, num_blocks), blocks((2, 2), ABOVE_AND_LEFT, 1, num_blocks)
        self.up_u, self.up_ul = blocks((2, 3), ABOVE, 1, num_up), blocks((2, 2), ABOVE_AND_LEFT, 2, num_up)
        self.deeper = None if is_last else Resolution(number + 1, width, num_blocks, context_features, dropout)
        if self.deeper is not None:
            self.halve_u = WeightNormConvolution(width, width, (2, 3), ABOVE, stride=2)
            self.halve_ul = WeightNormConvolution(width, width, (2, 2), ABOVE_AND_LEFT, stride=2)
            self.double_u = WeightNormUpsampling(width, width, (2, 3), (-1, 0, 0, 0))
            self.double_ul = WeightNormUpsampling(width, width, (2, 2))

    def forward(self, u: Tensor, ul: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        """Both streams ``(B, width, H, W)`` to the same."""
        made = [(u, ul)]
        for above, left in zip(self.down_u, self.down_ul, strict=True):
            u = above(u, context=context)
            ul = left(ul, u, context)
            made.append((u, ul))
        if self.deeper is None:
            made.pop()
        else:
            u, ul = self.deeper(self.halve_u(u), self.halve_ul(ul), context)
            u, ul = self.double_u(u), self.double_ul(ul)
        for above, left in zip(self.up_u, self.up_ul, strict=True):
            made_u, made_ul = made.pop()
            u = above(u, made_u, context)
            ul = left(ul, torch.cat([u, made_ul], dim=1), context)
        return u, ul


class PixelCNNPPNetwork(CausalNetwork):
    """Shifted convolutions instead of masks: nothing of a stream has ever seen its own place.

    The colours of a pixel are one group, which the distribution ties together. A place of an odd row sees 4 num_blocks + 2 columns to the
    left in its own row, and as many to the right in the row above (22 of 31 at the paper's size): the coarser resolutions know neither yet.

    Args:
        places: what the network is about; one group, and sides that 4 divides.
        width: channels of both streams.
        num_blocks: gated blocks at each resolution on the way down; one more on the way up at those that are doubled.
        dropout: share of the features that are dropped in training inside of every block.
    """

    def __init__(self, places: Places, width: int = 160, num_blocks: int = 5, dropout: float = 0.5) -> None:
        super().__init__(places)
        self.refuse(places, width, num_blocks)
        features = places.in_features + 1  # a channel of ones tells the image from what lies outside of it
        self.first_u = WeightNormConvolution(features, width, (2, 3), (1, 1, 2, -1))
        self.first_above = WeightNormConvolution(features, width, (1, 3), (1, 1, 1, -1))
        self.first_left = WeightNormConvolution(features, width, (2, 1), (1, -1, 1, 0))
        self.body = Resolution(0, width, num_blocks, places.context_features, dropout)
        self.last = WeightNormConvolution(width, places.num_parameters)

    @staticmethod
    def refuse(places: Places, width: int, num_blocks: int) -> None:
        """Refuse what cannot be built.

        Raises:
            UserError: colours as places of their own, sides that cannot be halved twice, nothing in between.
        """
        if places.groups != 1:
            raise UserError(
                f"output: PixelCNN++ says all colours of a pixel at once; expected DiscretizedLogisticMixture, got one with "
                f"{places.groups} places a pixel"
            )
        if places.grid[0] % 4 or places.grid[1] % 4:
            raise UserError(f"data_shape: PixelCNN++ needs a height and a width that 4 divides, got {list(places.grid)}")
        require_at_least_one(width=width, num_blocks=num_blocks)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        x = torch.cat([x, torch.ones_like(x[:, :1])], dim=1)
        _, ul = self.body(self.first_u(x), self.first_above(x) + self.first_left(x), context)
        return self.last(elu(ul))

    # One place after the other.

    def init_state(self, x: Tensor, context: Tensor | None = None) -> PixelCNNPPState:
        return PixelCNNPPState(self, x, context)

    def step(self, state: PixelCNNPPState, x: Tensor, t: int) -> Tensor:
        row, column = divmod(t, self.places.grid[1])
        if column == 0:
            state.begin_row(x, row)
        return state.at(x, row, column)
