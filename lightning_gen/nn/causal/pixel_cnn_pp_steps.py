r"""The network of PixelCNN++ one place after the other: what each of its parts remembers, and what it computes of a row and of a place.

Stream u, which sees the rows above, is computed once a row. At the same time everything that stream ul takes from the row above and from u
is known for the whole row; what is left at a place are products of two neighbours with a matrix. At half the resolution a row begins with
every second row, and a place is computed with the first of the four for which it speaks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor
from torch.nn.functional import conv2d, elu, pad

from lightning_gen.nn.gated_attention import concatenated_elu, gated

if TYPE_CHECKING:
    from lightning_gen.nn.causal.pixel_cnn_pp import GatedResNet, PixelCNNPPNetwork, Resolution, WeightNormConvolution


class RowConvolution:
    """A 2x3 convolution of stream u, and the last row that it was given.

    Args:
        layer: the convolution.
        like: a tensor of the batch's size, type and device.
        columns: of a row that it is given.
    """

    def __init__(self, layer: WeightNormConvolution, like: Tensor, columns: int) -> None:
        self.weight, self.bias, self.stride = layer.weight, layer.bias, layer.stride
        self.above = like.new_zeros(len(like), self.weight.shape[1], 1, columns)

    def put(self, x: Tensor) -> None:
        """Remember a row ``(B, C, 1, W)``."""
        self.above = x

    def at(self, x: Tensor) -> Tensor:
        """What it makes of the next row ``(B, C, 1, W)``."""
        rows = torch.cat([self.above, x], dim=2)
        self.put(x)
        return conv2d(rows, self.weight, self.bias, self.stride, padding=(0, 1))


class PlaceConvolution:
    """A 2x2 convolution of stream ul: one row of what it was given, of which the places from the present one on are of the row above.

    Args:
        layer, like, columns: as for :class:`RowConvolution`.
    """

    def __init__(self, layer: WeightNormConvolution, like: Tensor, columns: int) -> None:
        above, own = layer.weight.permute(2, 3, 1, 0)  # (2, C, C') each: left, right
        self.above_left, self.above = above
        self.own = own.flatten(0, 1)
        self.bias, self.stride = layer.bias, layer.stride
        self.row = like.new_zeros(len(like), columns + 1, len(self.above))  # with the column to the left of the image, which stays zero
        self.known = self.row

    def begin_row(self, told: Tensor | None = None) -> None:
        """Sum up what is known before a row begins: the row above, and what else the sums ``(B, W, C')`` get."""
        known = self.row[:, : -1 : self.stride] @ self.above_left + self.row[:, 1 :: self.stride] @ self.above + self.bias
        self.known = known if told is None else known + told

    def put(self, x: Tensor, column: int) -> None:
        """Remember a place ``(B, C)``."""
        self.row[:, column + 1] = x

    def at(self, x: Tensor, column: int) -> Tensor:
        """What it makes of the next place ``(B, C)``."""
        self.put(x, column)
        return torch.addmm(self.known[:, column // self.stride], self.row[:, column : column + 2].flatten(1), self.own)


class RowBlock:
    """A gated block of stream u, row after row.

    Args:
        block: the block.
        like, columns: as for :class:`RowConvolution`.
        context: ``(B, E)``.
    """

    def __init__(self, block: GatedResNet, like: Tensor, columns: int, context: Tensor | None) -> None:
        self.first, self.second = RowConvolution(block.first, like, columns), RowConvolution(block.second, like, columns)
        self.shortcut = block.shortcut
        self.told = 0.0 if block.context is None or context is None else block.context(context)[..., None, None]

    def at(self, x: Tensor, made: Tensor | None = None) -> Tensor:
        """The next row ``(B, width, 1, W)``, of the same row and its shortcut."""
        h = self.first.at(concatenated_elu(x))
        if self.shortcut is not None and made is not None:
            h = h + self.shortcut(concatenated_elu(made))
        return x + gated(self.second.at(concatenated_elu(h)) + self.told)


class PlaceBlock:
    """A gated block of stream ul, place after place.

    Args:
        block, like, columns, context: as for :class:`RowBlock`.
    """

    def __init__(self, block: GatedResNet, like: Tensor, columns: int, context: Tensor | None) -> None:
        assert block.shortcut is not None
        self.first, self.second = PlaceConvolution(block.first, like, columns), PlaceConvolution(block.second, like, columns)
        width = len(block.shortcut.weight)
        parts = block.shortcut.weight.flatten(1).T.unflatten(0, (2, -1, width))  # (signs, tensors, width, width)
        self.of_u, self.of_made = parts[:, 0].flatten(0, 1), parts[:, 1:].flatten(0, 2)
        self.bias = block.shortcut.bias
        self.told = None if block.context is None or context is None else block.context(context)[:, None]

    def begin_row(self, u: Tensor) -> None:
        """Take what u ``(B, width, 1, W)`` says of a row."""
        self.first.begin_row(concatenated_elu(u).squeeze(2).mT @ self.of_u + self.bias)
        self.second.begin_row(self.told)

    def at(self, x: Tensor, column: int, made: Tensor | None = None) -> Tensor:
        """The next place ``(B, width)``, of the same place and its shortcut."""
        h = self.first.at(concatenated_elu(x), column)
        if made is not None:
            h = torch.addmm(h, concatenated_elu(made), self.of_made)
        return x + gated(self.second.at(concatenated_elu(h), column))


class ResolutionSteps:
    """Everything at one resolution and below, as :class:`~lightning_gen.nn.causal.pixel_cnn_pp.Resolution` does it for a whole image.

    Args:
        net: the resolution.
        like, columns, context: as for :class:`RowBlock`.
    """

    def __init__(self, net: Resolution, like: Tensor, columns: int, context: Tensor | None) -> None:
        self.down_u = [RowBlock(cast("GatedResNet", block), like, columns, context) for block in net.down_u]
        self.down_ul = [PlaceBlock(cast("GatedResNet", block), like, columns, context) for block in net.down_ul]
        self.up_u = [RowBlock(cast("GatedResNet", block), like, columns, context) for block in net.up_u]
        self.up_ul = [PlaceBlock(cast("GatedResNet", block), like, columns, context) for block in net.up_ul]
        self.deeper: ResolutionSteps | None = None
        if net.deeper is not None:
            self.deeper = ResolutionSteps(net.deeper, like, columns // 2, context)
            self.halve_u, self.halve_ul = RowConvolution(net.halve_u, like, columns), PlaceConvolution(net.halve_ul, like, columns)
            self.double_u = net.double_u
            width = len(net.double_ul.bias)
            self.quadruple = net.double_ul.weight.permute(1, 2, 3, 0).flatten(1)  # (width, 2 2 width)
            self.bias = net.double_ul.bias.repeat(4)
            self.doubled_ul = like.new_zeros(len(like), 2, columns, width)

    def begin_row(self, u: Tensor, row: int) -> Tensor:
        """Stream u ``(B, width, 1, W)`` of a row, to the same."""
        made = [u]
        for above, left in zip(self.down_u, self.down_ul, strict=True):
            u = above.at(u)
            left.begin_row(u)
            made.append(u)
        u = made.pop() if self.deeper is None else self.below_row(self.deeper, u, row)
        for above, left in zip(self.up_u, self.up_ul, strict=True):
            u = above.at(u, made.pop())
            left.begin_row(u)
        return u

    def below_row(self, deeper: ResolutionSteps, u: Tensor, row: int) -> Tensor:
        """What comes back of a row from half the resolution, where every second one is a row."""
        if row % 2 == 0:
            self.halve_ul.begin_row()
            self.doubled_u = self.double_u(deeper.begin_row(self.halve_u.at(u), row // 2))
        self.halve_u.put(u)
        return self.doubled_u[:, :, row % 2 : row % 2 + 1]

    def at(self, ul: Tensor, row: int, column: int) -> Tensor:
        """Stream ul ``(B, width)`` of a place, to the same."""
        made = [ul]
        for left in self.down_ul:
            ul = left.at(ul, column)
            made.append(ul)
        ul = made.pop() if self.deeper is None else self.below(self.deeper, ul, row, column)
        for left in self.up_ul:
            ul = left.at(ul, column, made.pop())
        return ul

    def below(self, deeper: ResolutionSteps, ul: Tensor, row: int, column: int) -> Tensor:
        """What comes back of a place from half the resolution, where four are one: the first of them is when it is computed."""
        if row % 2 == 0 and column % 2 == 0:
            coarse = deeper.at(self.halve_ul.at(ul, column), row // 2, column // 2)
            self.doubled_ul[:, :, column : column + 2] = torch.addmm(self.bias, coarse, self.quadruple).unflatten(1, (2, 2, -1))
        self.halve_ul.put(ul, column)
        return self.doubled_ul[:, row % 2, column]


class PixelCNNPPState:
    """What :meth:`~lightning_gen.nn.causal.pixel_cnn_pp.PixelCNNPPNetwork.step` remembers, and the weights as it needs them.

    Args:
        net: the network.
        x: the inputs ``(B, F, H, W)``, of which only shape, type and device matter.
        context: ``(B, E)``.
    """

    def __init__(self, net: PixelCNNPPNetwork, x: Tensor, context: Tensor | None) -> None:
        self.first_u, self.first_above = RowConvolution(net.first_u, x, x.shape[3]), net.first_above
        of_above, of_left = net.first_left.weight.unbind(2)
        self.of_above, self.of_left = of_above.unsqueeze(2), of_left.squeeze(2).T
        self.bias = net.first_left.bias
        self.body = ResolutionSteps(net.body, x, x.shape[3], context)
        self.last, self.last_bias = net.last.weight.flatten(1).T, net.last.bias
        self.known = x

    def begin_row(self, x: Tensor, row: int) -> None:
        """Compute all that the rows above decide."""
        above = x[:, :, row - 1 : row] if row else torch.zeros_like(x[:, :, :1])
        above = pad(above, (0, 0, 0, 0, 0, 1), value=1.0 if row else 0.0)
        known = conv2d(above, self.first_above.weight, self.first_above.bias, padding=(0, 1))
        known = known + conv2d(pad(above, (1, -1)), self.of_above, self.bias)
        self.known = known.squeeze(2).mT
        self.body.begin_row(self.first_u.at(above), row)

    def at(self, x: Tensor, row: int, column: int) -> Tensor:
        """Parameters ``(B, P)`` of the next place."""
        ul = self.known[:, column]
        if column > 0:
            ul = torch.addmm(ul + self.of_left[-1], x[:, :, row, column - 1], self.of_left[:-1])
        return torch.addmm(self.last_bias, elu(self.body.at(ul, row, column)), self.last)
