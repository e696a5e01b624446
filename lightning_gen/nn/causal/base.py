r"""What causal networks agree on: a grid of places, the order in which they are generated, and one place at a time beside all at once.

A *place* is one group of numbers at one pixel: a colour, or a whole pixel where the distribution ties the colours together itself. Places
are numbered row by row, within a row pixel by pixel, and within a pixel colour by colour: ``(row * W + column) * G + group``. Feature f of
group g is channel ``f * G + g``, of inputs and of parameters alike.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from lightning_gen.errors import UserError


class Places(NamedTuple):
    """What a causal network is about.

    Attributes:
        grid: (H, W).
        groups: G, groups of a pixel that are generated one after the other.
        in_features: F, numbers that a network is given of each group at each pixel.
        num_parameters: P, numbers that it has to say of each.
        context_features: E, length of what else it is given; 0 for nothing.
    """

    grid: tuple[int, int]
    groups: int
    in_features: int
    num_parameters: int
    context_features: int = 0

    @property
    def count(self) -> int:
        """How many there are."""
        return self.grid[0] * self.grid[1] * self.groups

    def locate(self, place: int) -> tuple[int, int, int]:
        """Row, column and group of a place."""
        pixel, group = divmod(place, self.groups)
        return *divmod(pixel, self.grid[1]), group

    def at(self, values: Tensor, place: int) -> Tensor:
        """What stands at a place in ``(B, F G, H, W)``: a view ``(B, F)``."""
        row, column, group = self.locate(place)
        return values[:, group :: self.groups, row, column]


class CausalNetwork(nn.Module):
    r"""Parameters of every place that depend on the places before it, and on no others.

    ``forward`` computes all of them from a whole image. ``init_state`` and ``step`` compute them one place after the other, from what has
    been put into x so far, and remember what later places need: the same numbers for about the arithmetic of one forward pass, not of one
    for each place. A network that implements ``forward`` alone is stepped by a whole forward pass at each place.

    Args:
        places: what the network is about.
    """

    def __init__(self, places: Places) -> None:
        super().__init__()
        self.places = places

    @property
    def order(self) -> list[int]:
        """The places in the order of their generation; raster order unless a network has another."""
        return list(range(self.places.count))

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Inputs ``(B, F G, H, W)`` and a context ``(B, E)`` to parameters ``(B, P G, H, W)``."""
        raise NotImplementedError(f"{type(self).__name__} has to implement forward")

    def init_state(self, x: Tensor, context: Tensor | None = None) -> Any:
        """What is remembered before the first step, for one draw: it keeps what it has computed from the weights, which may not change.

        Args:
            x: the inputs ``(B, F G, H, W)`` as they are before anything is known, of which only shape, type and device matter.
            context: ``(B, E)``.
        """
        return context

    def step(self, state: Any, x: Tensor, t: int) -> Tensor:
        """Parameters ``(B, P)`` of the t-th place of :attr:`order`; called for t = 0, 1, ... in turn.

        Args:
            state: from :meth:`init_state`; changed in place.
            x: the inputs ``(B, F G, H, W)``, right at the places before; what stands elsewhere has no meaning.
            t: number of the step.
        """
        return self.places.at(self.forward(x, state), self.order[t])


def require_at_least_one(**numbers: int) -> None:
    """Refuse widths and counts below one, by name."""
    for name, number in numbers.items():
        if number < 1:
            raise UserError(f"{name}: expected at least 1, got {number}")


def generation_order(name: str, places: Places, seed: int = 0) -> Tensor:
    """Places in the order of their generation, int64 ``(G H W,)``.

    ``raster`` goes row by row, ``diagonal`` from the upper left corner, one diagonal after the other and down each of them, ``random``
    wherever the seed says; the groups of a pixel stay together.

    Raises:
        UserError: the name is none of these, or a seed of an order that has none.
    """
    rows, columns = places.grid
    pixels = torch.arange(rows * columns)
    if name == "diagonal":
        pixels = torch.argsort((pixels // columns + pixels % columns) * rows + pixels // columns)
    elif name == "random":
        pixels = torch.randperm(len(pixels), generator=torch.Generator().manual_seed(seed))
    elif name != "raster":
        raise UserError(f"order: expected raster, diagonal or random, got {name!r}")
    if seed and name != "random":
        raise UserError(f"order_seed: the {name} order has none; expected nothing, got {seed}")
    return (pixels[:, None] * places.groups + torch.arange(places.groups)).flatten()
