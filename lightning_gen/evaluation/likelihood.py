"""Likelihoods of a split's images: nats or bits/dim, with what kind of number it is, over all ranks."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from lightning_gen import distributed
from lightning_gen import images as pixels
from lightning_gen.data.base import ImageDataModule
from lightning_gen.evaluation.extraction import own_blocks
from lightning_gen.evaluation.plan import Plan
from lightning_gen.leaderboard import per_image
from lightning_gen.leaderboard.record import Score
from lightning_gen.models.base import GenerativeModel
from lightning_gen.models.capabilities import SupportsLikelihood
from lightning_gen.noise import IndexedNoise, stable_hash

Z_95 = 1.959964
"""Standard errors on each side of a 95% confidence interval."""


def likelihood_score(data: ImageDataModule, plan: Plan, model: Any, values: Tensor) -> Score:
    """Mean negative log-likelihood: bits/dim, or nats per image for binary images and vectors.

    Args:
        data: the data set.
        plan: what was asked for.
        model: a model with a likelihood.
        values: log-probabilities in nats, ``(N,)``.
    """
    losses = in_unit(-values, data)
    return Score(
        name=data.likelihood_unit,
        value=float(losses.mean()),
        better="lower",
        protocol=_protocol(data, plan, len(values), model),
        kind=model.likelihood_kind(plan.likelihood_samples),
        details=_answer(model, plan) | _interval(losses) | {per_image.KEY: per_image.digest(values.tolist())},
        **standard_error(losses),
    )


def gap_score(data: ImageDataModule, plan: Plan, model: Any, held_out: Tensor, train: Tensor) -> Score:
    """How much less likely held-out images are than training images: a model that memorises has a large gap.

    Args:
        data, plan, model: as above.
        held_out, train: log-probabilities of equally many images of the plan's split and of the training split, nats.
    """
    worse, better = in_unit(-held_out, data), in_unit(-train, data)
    error = math.sqrt(float(worse.var() + better.var()) / len(worse)) if len(worse) > 1 else None
    return Score(
        name=f"{data.likelihood_unit} gap",
        value=float(worse.mean() - better.mean()),
        better="lower",
        protocol=_protocol(data, plan, len(held_out), model) | {"against": "train"},
        uncertainty=error,
        uncertainty_kind=None if error is None else "standard error of the difference over images",
        details=_answer(model, plan) | {"train": float(better.mean()), plan.split: float(worse.mean())},
    )


def in_unit(nats: Tensor, data: ImageDataModule) -> Tensor:
    """Nats in the unit in which the data set's likelihoods are quoted."""
    return nats if data.likelihood_unit == "nats" else pixels.bits_per_dim(-nats, data.data_shape)


def _protocol(data: ImageDataModule, plan: Plan, count: int, model: GenerativeModel) -> dict[str, Any]:
    return data.protocol(plan.split) | {"likelihood_images": count} | ({"labels": "given"} if model.conditional else {})


def _answer(model: Any, plan: Plan) -> dict[str, Any]:
    return {"kind": model.likelihood_kind(plan.likelihood_samples), "k": plan.likelihood_samples, **model.answer_options()}


def standard_error(losses: Tensor) -> dict[str, Any]:
    """The standard error of the mean over images, as a score has it; nothing for a single image."""
    if len(losses) < 2:
        return {}
    return {"uncertainty": float(losses.std() / math.sqrt(len(losses))), "uncertainty_kind": "standard error over images"}


def _interval(losses: Tensor) -> dict[str, Any]:
    """The 95% confidence interval of the mean over images, by the central limit theorem."""
    if len(losses) < 2:
        return {}
    mean, margin = float(losses.mean()), Z_95 * float(losses.std() / math.sqrt(len(losses)))
    return {"confidence_interval_95": [mean - margin, mean + margin]}


def log_probs(model: GenerativeModel, data: ImageDataModule, plan: Plan, split: str, count: int, report: Callable[[int], None]) -> Tensor:
    """log-probability of the first ``count`` images of a split, in index order, nats, float64 on the CPU, on every rank."""
    assert isinstance(model, SupportsLikelihood)
    values = torch.zeros(count, dtype=torch.float64, device=model.device)
    for _, block in own_blocks(count):
        batch = data.batch(split, block, model.device)
        noise = IndexedNoise(stable_hash(plan.seed, "likelihood"), block, model.device)
        answer = model.log_prob(batch[0], labels=model.labels_of(batch), noise=noise, num_samples=plan.likelihood_samples)
        values[block.start : block.stop] = answer.to(torch.float64)
        report(block.stop)
    # Every other rank holds zeros there, so the sum is the gathered array, bit for bit.
    return distributed.global_sum(values).cpu()
