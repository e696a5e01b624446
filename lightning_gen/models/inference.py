"""What a model is used with outside of its training: averaged weights, and the type of float that it has."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Literal, get_args

import torch
from torch import nn

from lightning_gen.errors import UserError, did_you_mean

Weights = Literal["ema", "live"]
"""Which of a model's weights: the averaged ones, where there are any, or those that training moves."""


def check_weights(weights: str) -> None:
    """Refuse anything but the averaged and the live weights."""
    if weights not in get_args(Weights):
        raise UserError(f"weights: unknown value {weights!r}; {did_you_mean(str(weights), get_args(Weights))}")


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
