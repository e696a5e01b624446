"""Which half of an image a coupling leaves as it is: 1 where x passes unchanged. Defined at the resolution at which the layer works."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

from lightning_gen.errors import UserError

MaskName = Literal["checkerboard", "channel", "top_bottom", "left_right", "alternate"]


def mask(name: MaskName, event_shape: tuple[int, ...], flip: bool = False) -> Tensor:
    """A binary mask ``(1, *event_shape)``.

    Args:
        name: ``checkerboard`` (1 where row + column is odd), ``channel`` (the first half of the channels), ``top_bottom`` (the upper
            half), ``left_right`` (the left half), or ``alternate`` (every second number of a vector, the first one included).
        event_shape: ``(C, H, W)``, or ``(D,)`` for ``alternate``.
        flip: the complement.

    Raises:
        UserError: the shape has no two halves of that kind.
    """
    shape = tuple(event_shape)
    if name not in get_args(MaskName):
        raise UserError(f"mask: expected {' or '.join(get_args(MaskName))}, got {name!r}")
    if (len(shape) == 1) != (name == "alternate"):
        raise UserError(f"mask: {name} does not fit data of shape {list(shape)}; expected alternate for vectors, another for images")
    axis = {"checkerboard": 0, "channel": 0, "top_bottom": 1, "left_right": 2, "alternate": 0}[name]
    size = shape[axis] if name != "checkerboard" else shape[1] * shape[2]
    if size < 2:
        raise UserError(f"mask: {name} needs at least two to divide, got data of shape {list(shape)}")
    index = torch.arange(shape[axis]).view(-1, *[1] * (len(shape) - 1 - axis))
    if name == "checkerboard":
        half = (torch.arange(shape[1]).view(-1, 1) + torch.arange(shape[2])) % 2 == 1
    elif name == "alternate":
        half = index % 2 == 0
    else:
        half = index < shape[axis] - shape[axis] // 2
    half = half.expand(shape) != flip
    return half.unsqueeze(0).to(torch.get_default_dtype())
