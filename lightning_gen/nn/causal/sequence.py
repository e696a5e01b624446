"""A grid of places as a sequence, and what a network over it is given: at each place the value of the place before, and where it stands."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lightning_gen.nn.causal.base import Places


def as_sequence(x: Tensor, places: Places) -> Tensor:
    """``(B, F G, H, W)`` to ``(B, T, F)``, the places in raster order."""
    return x.unflatten(1, (-1, places.groups)).permute(0, 3, 4, 2, 1).flatten(1, 3)


def as_grid(sequence: Tensor, places: Places) -> Tensor:
    """``(B, T, P)`` in raster order to ``(B, P G, H, W)``."""
    return sequence.unflatten(1, (*places.grid, places.groups)).permute(0, 4, 3, 1, 2).flatten(1, 2)


def shifted(sequence: Tensor) -> Tensor:
    """``(B, T, F)`` one place later: zeros at the first, the last falls off."""
    return nn.functional.pad(sequence[:, :-1], (0, 0, 1, 0))


class RasterInputs(nn.Module):
    """The value of the place before beside row, column and colour of the place that is predicted, which tell nothing of its value.

    Rows and columns run from -1 to 1; a colour is one of G numbers that is 1.

    Args:
        places: what the network is about.
        coordinates: whether row, column and colour are given.
    """

    coordinates: Tensor

    def __init__(self, places: Places, coordinates: bool) -> None:
        super().__init__()
        self.places = places
        axes = [torch.linspace(-1, 1, size) for size in places.grid]
        where = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1).flatten(0, 1).repeat_interleave(places.groups, 0)  # (T, 2)
        if places.groups > 1:
            where = torch.cat([where, torch.eye(places.groups).repeat(len(where) // places.groups, 1)], 1)
        self.register_buffer("coordinates", where if coordinates else where[:, :0], persistent=False)

    @property
    def features(self) -> int:
        """How many numbers a place is given."""
        return self.places.in_features + self.coordinates.shape[1]

    def forward(self, x: Tensor) -> Tensor:
        """A grid ``(B, F G, H, W)`` to ``(B, T, features)``."""
        before = shifted(as_sequence(x, self.places))
        return torch.cat([before, self.coordinates.to(x).expand(len(x), -1, -1)], -1)

    def at(self, x: Tensor, place: int) -> Tensor:
        """The same of one place, ``(B, features)``."""
        before = self.places.at(x, place - 1) if place else x.new_zeros(len(x), self.places.in_features)
        return torch.cat([before, self.coordinates[place].to(x).expand(len(x), -1)], -1)
