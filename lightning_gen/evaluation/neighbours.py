"""Samples beside the training images that are nearest to them: whether a model has learned by heart shows at a glance."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from lightning_gen.data.base import ImageDataModule
from lightning_gen.distributed import rank
from lightning_gen.errors import UserError
from lightning_gen.evaluation.arithmetic import exact_arithmetic
from lightning_gen.evaluation.defaults import choose
from lightning_gen.evaluation.extraction import extract
from lightning_gen.evaluation.judge import Judge, Progress
from lightning_gen.evaluation.plan import Plan
from lightning_gen.evaluation.sampling_options import sampling_with
from lightning_gen.evaluation.standing import standing_statistics
from lightning_gen.evaluation.streams import model_stream, split_stream
from lightning_gen.images import make_grid
from lightning_gen.metrics.neighbours import nearest_neighbours
from lightning_gen.models.base import GenerativeModel
from lightning_gen.models.capabilities import SupportsSampling
from lightning_gen.noise import blocks

NEIGHBOURS = 5
"""Training images beside each sample."""


def neighbour_sheet(model: GenerativeModel, data: ImageDataModule, plan: Plan, num_samples: int, progress: Progress) -> Tensor | None:
    """One row per sample: the sample, then its nearest training images in the extractor's features, nearest first.

    Every rank has to call this; rank 0 gets the picture, uint8 ``(3, H, W)``.

    Raises:
        UserError: the model cannot be sampled, or the data set has no extractor.
    """
    extractor = choose(data, plan.scoring).extractor
    if extractor is None or not isinstance(model, SupportsSampling):
        raise UserError(f"neighbours: {type(model).__name__} on {data.name} has no samples to compare; expected 0")
    judge = Judge.build(dataclasses.replace(plan.scoring, extractor=extractor), plan.scoring.dialects[0], model.device, progress)
    inference, options = model.inference(plan.weights), sampling_with(model, plan.sample_options)
    standing = standing_statistics(model, plan.standing_statistics, plan.seed)
    with torch.random.fork_rng(devices=[]), inference, exact_arithmetic(), options, standing:
        samples = model_stream(model, num_samples, plan.seed)
        reference = judge.reference(split_stream(data, "train"))
        features = extract(samples, judge.extractor, None, lambda done, total: progress("samples", done, total))
        if rank() != 0:
            return None
        assert reference is not None
        assert reference.features is not None
        _, nearest = nearest_neighbours(features.features, reference.features, NEIGHBOURS)
        drawn = torch.cat([samples.draw(block, torch.device("cpu")) for block in blocks(num_samples)])
    beside = torch.stack([data.batch("train", row.tolist())[0] for row in nearest])
    rows = torch.cat([drawn.unsqueeze(1), beside], dim=1)
    return make_grid(rows.flatten(0, 1), num_columns=NEIGHBOURS + 1)
