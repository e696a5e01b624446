"""Layers that set some of their weights from the first batch that passes through them."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator

import torch
from torch import Tensor, nn

from lightning_gen.distributed import global_mean, world_size
from lightning_gen.errors import UserError


class DataDependent(nn.Module):
    """A layer with a data-dependent initialisation, which takes place within :func:`initializing` and never else.

    ``forward`` begins with ``self.begin(x)``. Whether a model is initialised is the model's knowledge, so a layer needs no flag in the
    checkpoint, and neither evaluation nor sampling can initialise it by accident.
    """

    initializing = False

    def begin(self, x: Tensor) -> None:
        """Set the weights if this is the moment.

        Raises:
            UserError: there is one number per channel on all processes together, whose standard deviation of 0 would set the scale.
        """
        if not self.initializing:
            return
        require_deviation(x, f"{type(self).__name__} starts from each channel's standard deviation over the first global batch")
        self.initialize(x.detach())

    def initialize(self, x: Tensor) -> None:
        """Set the weights from the input ``(B, C, ...)`` of this layer, by statistics over all processes."""
        raise NotImplementedError(f"{type(self).__name__} has to implement initialize")


@contextlib.contextmanager
def initializing(module: nn.Module, kept: Collection[str] = ()) -> Iterator[None]:
    """Every :class:`DataDependent` layer of ``module`` sets its weights from what passes through it; layer by layer in one forward pass.

    Args:
        module: whose layers.
        kept: names of weights in it that are good already; layers that have no others stay as they are.
    """
    found = [(name, layer) for name, layer in module.named_modules() if isinstance(layer, DataDependent)]
    layers = [layer for name, layer in found if not kept or any(own not in kept for own, _ in layer.named_parameters(name))]
    for layer in layers:
        layer.initializing = True
    try:
        yield
    finally:
        for layer in layers:
            layer.initializing = False


def require_deviation(x: Tensor, use: str) -> None:
    """Refuse a global batch of x ``(B, C, ...)`` that has one number per channel: its standard deviation is 0.

    Args:
        x: this process's part.
        use: what the deviation is for, in words.
    """
    if world_size() * x[:, 0].numel() == 1:
        raise UserError(f"data.batch_size: {use}, which one number does not have; expected at least 2, got 1")


def moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance of each channel of x ``(B, C, ...)`` over the global batch, ``(C,)``, differentiable, in float32 at least."""
    rows = x.to(torch.promote_types(x.dtype, torch.float32)).movedim(1, -1).flatten(0, -2)
    mean = global_mean(rows.mean(0))
    return mean, global_mean((rows - mean).square().mean(0))
