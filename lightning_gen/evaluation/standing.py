"""Standing statistics: BatchNorm's running mean and variance recomputed from the generator's own samples (Brock et al., 2018,
arXiv:1809.11096, Sec. 3.1), instead of the moving averages of training."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import nn

from lightning_gen.errors import UserError
from lightning_gen.models.base import GenerativeModel
from lightning_gen.models.capabilities import SupportsSampling
from lightning_gen.noise import BLOCK, stable_hash

BatchNorm = nn.modules.batchnorm._BatchNorm
STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


def batch_norm_layers(model: GenerativeModel) -> list[BatchNorm]:
    """The layers whose statistics can be computed anew.

    Raises:
        UserError: the model has no BatchNorm layer with running statistics, or cannot be sampled.
    """
    layers = [layer for layer in model.modules() if isinstance(layer, BatchNorm) and layer.track_running_stats]
    if not layers or not isinstance(model, SupportsSampling):
        raise UserError(f"standing_statistics: {type(model).__name__} has no BatchNorm layers; expected 0")
    return layers


@contextlib.contextmanager
def standing_statistics(model: GenerativeModel, num_batches: int, seed: int) -> Iterator[None]:
    """Within :meth:`GenerativeModel.inference`: sample with statistics averaged over batches of 64 samples; afterwards all is as before.

    Every rank draws the same batches, so that all sample with the same statistics.

    Args:
        model: a model whose generator has BatchNorm layers.
        num_batches: how many batches; 0 changes nothing.
        seed: keys their noise; other noise than that of the samples to score.

    Raises:
        UserError: the model has no BatchNorm layer with running statistics.
    """
    if not num_batches:
        yield
        return
    layers = batch_norm_layers(model)
    assert isinstance(model, SupportsSampling)
    before = [({name: getattr(layer, name).clone() for name in STATISTICS}, layer.momentum) for layer in layers]
    try:
        for layer in layers:
            layer.reset_running_stats()
            layer.momentum = None  # the plain average over batches
            layer.train()
        for number in range(num_batches):
            model.sample_block(stable_hash(seed, "standing statistics"), range(number * BLOCK, (number + 1) * BLOCK))
        for layer in layers:
            layer.eval()
        yield
    finally:
        for layer, (statistics, momentum) in zip(layers, before, strict=True):
            layer.eval()
            layer.momentum = momentum
            with torch.no_grad():
                for name, value in statistics.items():
                    getattr(layer, name).copy_(value)
