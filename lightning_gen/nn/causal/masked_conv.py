r"""Masked convolutions (van den Oord et al., 2016, arXiv:1601.06759): at once for a whole image, and one place after the other."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, pad

from lightning_gen.errors import UserError


class RowsConv2d(nn.Conv2d):
    """A convolution of the rows up to a pixel's own, which it sees all of: zeros stand above and beside the image.

    Args:
        in_channels, out_channels: as for every convolution.
        kernel_size: rows, the last of which is the pixel's own, and columns, an odd number.
        dilation: distance between neighbours of the kernel.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: tuple[int, int], dilation: int = 1) -> None:
        require_odd(kernel_size=kernel_size[1])
        super().__init__(in_channels, out_channels, kernel_size, dilation=dilation)
        self.above, self.beside = (kernel_size[0] - 1) * dilation, kernel_size[1] // 2 * dilation

    def forward(self, x: Tensor) -> Tensor:
        """x ``(B, in_channels, H, W)`` to ``(B, out_channels, H, W)``."""
        return super().forward(pad(x, (self.beside, self.beside, self.above, 0)))


class MaskedConv2d(nn.Conv2d):
    r"""A convolution that sees what comes before a pixel in raster order, and at the pixel itself what the mask lets it see.

    Channel i belongs to colour i mod G, of inputs and outputs alike. At the pixel itself an output of colour g sees inputs of colours below
    g (mask A), or up to g (mask B). Only the part of the kernel that any output sees is there: of a k x k kernel k // 2 + 1 rows.

    Args:
        in_channels, out_channels: as for every convolution.
        kernel_size: rows and columns of the kernel before it is cut, odd numbers; one row gives a convolution of the pixels on the left.
        mask: A or B.
        colours: G.
        dilation: distance between neighbours of the kernel.
    """

    mask: Tensor
    bias: Tensor

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: tuple[int, int],
        mask: Literal["A", "B"],
        colours: int = 1,
        dilation: int = 1,
    ) -> None:
        require_odd(kernel_size=kernel_size[0])
        require_odd(kernel_size=kernel_size[1])
        left, right = kernel_size[1] // 2, kernel_size[1] // 2 if kernel_size[0] > 1 else 0
        super().__init__(in_channels, out_channels, (kernel_size[0] // 2 + 1, left + 1 + right), dilation=dilation)
        self.colours = colours
        self.left, self.right, self.above = left * dilation, right * dilation, kernel_size[0] // 2 * dilation
        kept = torch.ones_like(self.weight)
        kept[:, :, -1, left + 1 :] = 0
        of_inputs, of_outputs = torch.arange(in_channels) % colours, torch.arange(out_channels)[:, None] % colours
        kept[:, :, -1, left] = (of_inputs < of_outputs if mask == "A" else of_inputs <= of_outputs).to(kept.dtype)
        self.register_buffer("mask", kept, persistent=False)
        self.cuts = not bool(kept.all())

    @property
    def masked_weight(self) -> Tensor:
        """The weight with what must not be seen at zero, ``(out_channels, in_channels, rows, columns)``."""
        return self.weight * self.mask if self.cuts else self.weight

    def forward(self, x: Tensor) -> Tensor:
        """x ``(B, in_channels, H, W)`` to ``(B, out_channels, H, W)``."""
        if self.above or self.left:
            x = pad(x, (self.left, self.right, self.above, 0))
        return conv2d(x, self.masked_weight, self.bias, dilation=self.dilation)


def require_odd(**sizes: int) -> None:
    """Refuse kernels, by name, without a pixel in their middle."""
    for name, size in sizes.items():
        if size < 1 or not size % 2:
            raise UserError(f"{name}: expected an odd number, got {size}")


def require_colours(colours: int, **widths: int) -> None:
    """Refuse widths, by name, that cannot be dealt out evenly to the colours."""
    for name, width in widths.items():
        if width < 1 or width % colours:
            expected = f"a multiple of {colours}, the colours of a pixel" if colours > 1 else "at least 1"
            raise UserError(f"{name}: expected {expected}, got {width}")


def require_dilations(dilations: list[int]) -> None:
    """Refuse dilations that are none."""
    if min(dilations, default=0) < 1:
        raise UserError(f"dilations: expected numbers of at least 1, got {dilations}")


def require_neighbours(first_kernel_size: int) -> None:
    """Refuse a first convolution that sees nothing, since it must not see the pixel itself."""
    if first_kernel_size < 3 or not first_kernel_size % 2:
        raise UserError(f"first_kernel_size: expected an odd number of at least 3, got {first_kernel_size}")


# One place after the other. Within a pixel the channels of a colour stand together here, so that what a place adds is one slice.


class Rows:
    """The last rows of a map, with zeros above and beside the image.

    Args:
        like: a tensor of the batch's size, type and device.
        channels: of the map.
        count: how many rows are kept.
        columns: of the image.
        beside: zeros on either side.
    """

    def __init__(self, like: Tensor, channels: int, count: int, columns: int, beside: int) -> None:
        self.beside = beside
        self.kept = like.new_zeros(len(like), channels, count, columns + 2 * beside)

    def push(self, row: Tensor) -> Tensor:
        """The rows ``(B, C, count, columns + 2 beside)`` with a new one ``(B, C, columns)`` at the lower end, the uppermost dropped."""
        self.kept = torch.cat([self.kept[:, :, 1:], pad(row, (self.beside, self.beside)).unsqueeze(2)], dim=2)
        return self.kept


class RowsConvSteps:
    """A :class:`RowsConv2d` row by row.

    Args:
        conv: which.
        like: a tensor of the batch's size, type and device.
        columns: of the image.
    """

    def __init__(self, conv: RowsConv2d, like: Tensor, columns: int) -> None:
        self.conv = conv
        self.rows = Rows(like, conv.in_channels, conv.above + 1, columns, conv.beside)

    def step(self, row: Tensor) -> Tensor:
        """The next row ``(B, in_channels, columns)`` to ``(B, out_channels, columns)``."""
        return conv2d(self.rows.push(row), self.conv.weight, self.conv.bias, dilation=self.conv.dilation).squeeze(2)


class MaskedConvSteps:
    """A :class:`MaskedConv2d` place by place: what comes from the rows above is computed once for a whole row.

    Args:
        conv: which.
        like: a tensor of the batch's size, type and device.
        columns: of the image.
        offset_by_row: whether :meth:`start_row` will be given something to add.
    """

    def __init__(self, conv: MaskedConv2d, like: Tensor, columns: int, offset_by_row: bool = False) -> None:
        self.conv, colours, inside = conv, conv.colours, conv.in_channels // conv.colours
        self.by_colour = conv.masked_weight.unflatten(1, (inside, colours)).transpose(1, 2).flatten(1, 2)  # inputs colour by colour
        here = self.by_colour[:, :, -1, : conv.kernel_size[1] - conv.right // conv.dilation[0]]  # (out, in, columns up to the pixel)
        self.weights = [here[colour::colours].permute(2, 1, 0).flatten(0, 1).contiguous() for colour in range(colours)]
        self.is_pointwise = not (conv.left or conv.above)
        kept = [0] * columns if self.is_pointwise else range(columns)  # of a 1x1 kernel's inputs the pixel's own have to be remembered
        self.row = like.new_zeros(len(like), conv.left + max(kept) + 1, conv.in_channels)
        windows = [self.row[:, column : column + conv.left + 1 : conv.dilation[1]] for column in kept]
        # Views, made once: a step is too small for slicing. Columns that stand apart can be no view and are gathered in each step.
        self.windows = [window.flatten(1) if conv.dilation[1] == 1 else window for window in windows]
        self.targets = [self.row[:, conv.left + column].chunk(colours, dim=1) for column in kept]
        self.rows = Rows(like, conv.in_channels, conv.above, columns, conv.right) if conv.above else None
        bias = conv.bias.unflatten(0, (-1, colours)).T.contiguous()
        self.offset = bias[:, None].expand(columns, -1, len(like), -1)  # (columns, G, B, out / G)
        if conv.above or offset_by_row:
            self.offset = self.offset.contiguous()
        self.offsets = [list(column) for column in self.offset]

    def start_row(self, added: Tensor | None = None) -> None:
        """Begin the next row; what is added ``(B, out_channels, columns)`` reaches every colour of the row."""
        if self.rows is None and added is None:
            return  # the bias alone, as in every row
        conv = self.conv
        total = conv.bias[:, None] if added is None else added + conv.bias[:, None]
        if self.rows is not None:
            above = self.rows.push(self.row[:, conv.left :].mT)[:, :, : conv.above - conv.dilation[0] + 1]
            total = total + conv2d(above, self.by_colour[:, :, :-1], dilation=conv.dilation).squeeze(2)
        self.offset.copy_(total.unflatten(1, (-1, conv.colours)).permute(3, 2, 0, 1))

    def put(self, values: Tensor, column: int, colour: int) -> None:
        """Let what comes later know of inputs ``(B, in_channels / G)``."""
        self.targets[column][colour].copy_(values)

    def at(self, column: int, colour: int) -> Tensor:
        """The outputs ``(B, out_channels / G)``, from all inputs that have been put."""
        return torch.addmm(self.offsets[column][colour], self.windows[column].flatten(1), self.weights[colour])

    def step(self, values: Tensor, column: int, colour: int) -> Tensor:
        """:meth:`put` and :meth:`at` of one place, for mask B."""
        if self.is_pointwise and len(self.weights) == 1:
            return torch.addmm(self.offsets[column][0], values, self.weights[0])
        self.put(values, column, colour)
        return self.at(column, colour)
