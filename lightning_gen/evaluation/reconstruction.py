"""Reconstructions of a split's images: the squared error that is left, over all ranks."""

from __future__ import annotations

import torch
from torch import Tensor

from lightning_gen import distributed
from lightning_gen.data.base import ImageDataModule
from lightning_gen.evaluation.extraction import own_blocks
from lightning_gen.evaluation.judge import Progress
from lightning_gen.evaluation.likelihood import standard_error
from lightning_gen.evaluation.plan import Plan
from lightning_gen.evaluation.setting import RECONSTRUCTION_ERROR
from lightning_gen.images import is_image
from lightning_gen.leaderboard.record import Score
from lightning_gen.models.base import GenerativeModel
from lightning_gen.models.capabilities import SupportsReconstruction


def reconstruction_score(model: GenerativeModel, data: ImageDataModule, plan: Plan, progress: Progress) -> Score:
    """The mean squared error per value of x in [0, 1] (vectors as they are), of the first images of the plan's split.

    Args:
        model: a model that reconstructs.
        data: the data set.
        plan: what was asked for.
        progress: told of every block.
    """
    count = min(data.split_size(plan.split), plan.likelihood_images or data.split_size(plan.split))
    errors = squared_errors(model, data, plan.split, count, progress)
    labels = {"labels": "given"} if model.conditional else {}
    return Score(
        name=RECONSTRUCTION_ERROR,
        value=float(errors.mean()),
        better="lower",
        protocol=data.protocol(plan.split) | {"reconstruction_images": count} | labels,
        **standard_error(errors),
    )


def squared_errors(model: GenerativeModel, data: ImageDataModule, split: str, count: int, progress: Progress) -> Tensor:
    """The mean squared error of each of the first ``count`` images, in index order, float64 on the CPU, on every rank."""
    assert isinstance(model, SupportsReconstruction)
    errors = torch.zeros(count, dtype=torch.float64, device=model.device)
    for _, block in own_blocks(count):
        batch = data.batch(split, block, model.device)
        rebuilt = model.reconstruct(batch[0], labels=model.labels_of(batch))
        difference = (rebuilt.to(torch.float64) - batch[0]) / (255 if is_image(data.data_shape) else 1)
        errors[block.start : block.stop] = difference.square().flatten(1).mean(1)
        progress("reconstructions", block.stop, count)
    # Every other rank holds zeros there, so the sum is the gathered array, bit for bit.
    return distributed.global_sum(errors).cpu()
