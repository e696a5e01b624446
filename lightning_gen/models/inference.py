"""What a model is used with outside of its training: averaged weights, and the type of float that it has."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import nn


class Averages(nn.ModuleDict):
    """Averaged copies of networks; they stay in evaluation mode whatever Lightning sets."""

    def train(self, mode: bool = True) -> Averages:
        return super().train(False)


@contextlib.contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    """The type of new tensors, for a while."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)
