"""The one evaluation engine: fit, evaluate and the callback score a model through it.

The index range is cut into blocks of 64; a block is one micro-batch and goes to rank b mod W; sums are exact, per-image values are put in
index order, and the final algebra runs once, on rank 0, so that the scores do not depend on the number of processes.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

import torch
import torch.distributed as dist
from torch import Tensor

from lightning_gen import distributed
from lightning_gen import images as pixels
from lightning_gen.data.base import ImageDataModule
from lightning_gen.errors import UserError
from lightning_gen.leaderboard.record import Score
from lightning_gen.metrics.accumulators import FeatureAccumulator, FeatureSums
from lightning_gen.metrics.extractors import Extractor
from lightning_gen.metrics.frechet import frechet_distance
from lightning_gen.models.base import GenerativeModel, Weights
from lightning_gen.models.capabilities import SupportsLikelihood, SupportsSampling
from lightning_gen.noise import BLOCK, IndexedNoise, blocks, stable_hash

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how many images are finished (over all ranks, about), and of how many."""

_feature_sums: WeakKeyDictionary[ImageDataModule, dict[tuple[str, str, torch.device], FeatureSums]] = WeakKeyDictionary()
"""Sums of real images that this process has already computed."""


@dataclass(frozen=True)
class Plan:
    """What to evaluate.

    Args:
        split: ``train``, ``validation`` or ``test``.
        num_samples: N images to draw from the model; 0 for no scores of samples.
        likelihood_samples: k of the likelihood's k-sample bound; 1 for the plain bound (an exact likelihood ignores it).
        likelihood_images: the first so many images of the split; None for all.
        seed: keys the noise of samples and likelihoods.
        weights: the averaged networks (``ema``, when there are any) or the ``live`` ones.
    """

    split: str = "test"
    num_samples: int = 5000
    likelihood_samples: int = 1
    likelihood_images: int | None = None
    seed: int = 0
    weights: Weights = "ema"

    def __post_init__(self) -> None:
        for key, smallest in (("num_samples", 0), ("likelihood_samples", 1)):
            if getattr(self, key) < smallest:
                raise UserError(f"{key}: expected at least {smallest}, got {getattr(self, key)}")
        if self.likelihood_images is not None and self.likelihood_images < 1:
            raise UserError(f"likelihood_images: expected at least 1, or nothing for all, got {self.likelihood_images}")
        if 0 < self.num_samples < 2:
            raise UserError("num_samples: a distance between sets of images needs at least 2, got 1")


@dataclass
class Evaluation:
    """Scores of one model, equal on every rank.

    Args:
        scores: the scores; empty when the data set has no measure for what the model can do.
        samples_per_second: over all processes; None when nothing was sampled.
        log_probs: log-probability of each image in index order, nats, float64 ``(N,)``; None without likelihood.
    """

    scores: list[Score]
    samples_per_second: float | None = None
    log_probs: Tensor | None = field(default=None, repr=False)

    def value(self, name: str) -> float | None:
        """The value of a score by name."""
        return next((score.value for score in self.scores if score.name == name), None)


def is_measurable(model: GenerativeModel, data: ImageDataModule) -> bool:
    """Whether the data set has a measure for anything that the model can do."""
    return isinstance(model, SupportsLikelihood) or (data.extractor is not None and isinstance(model, SupportsSampling))


def require_something_to_measure(model: GenerativeModel, num_samples: int, key: str) -> None:
    """Refuse a plan without samples for a model that has nothing else to score."""
    if num_samples == 0 and not isinstance(model, SupportsLikelihood):
        raise UserError(f"{key}: {type(model).__name__} has no likelihood, hence nothing to score without samples; expected at least 2")


def evaluate(model: GenerativeModel, data: ImageDataModule, plan: Plan, progress: Progress | None = None) -> Evaluation:
    """Score a model on a split. Every rank has to call this; every rank gets the same result."""
    progress = progress or (lambda stage, done, total: None)
    evaluation = Evaluation(scores=[])
    # Building the extractor's network draws its weights, before the stored ones replace them.
    with torch.random.fork_rng(devices=[]), model.inference(plan.weights), exact_arithmetic():
        if plan.num_samples and data.extractor and isinstance(model, SupportsSampling):
            score_samples(model, data, plan, progress, evaluation)
        if isinstance(model, SupportsLikelihood):
            score_likelihood(model, data, plan, progress, evaluation)
    evaluation.scores, evaluation.samples_per_second = broadcast_from_first((evaluation.scores, evaluation.samples_per_second))
    return evaluation


@contextlib.contextmanager
def exact_arithmetic() -> Iterator[None]:
    """Without TF32, which keeps 10 bits of a product's factors."""
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """The final algebra runs in one thread, since how a sum is split over threads changes its last digit."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def own_blocks(count: int) -> Iterable[tuple[int, range]]:
    """This rank's blocks of the index range [0, count), with their numbers."""
    return ((number, block) for number, block in enumerate(blocks(count)) if number % distributed.world_size() == distributed.rank())


# Scores of samples.


def score_samples(model: GenerativeModel, data: ImageDataModule, plan: Plan, progress: Progress, evaluation: Evaluation) -> None:
    """Fréchet distance and classifier score of N samples, with the floor between held-out real images."""
    extractor = Extractor(data.extractor, model.device)
    sums, seconds = sums_of_samples(model, extractor, plan, progress)
    reference = sums_of_split(data, extractor, plan.split, progress)
    other = sums_of_split(data, extractor, "test" if plan.split == "validation" else "validation", progress)
    protocol = data.protocol(plan.split) | extractor.protocol | {"num_samples": plan.num_samples}
    if distributed.rank() == 0:  # which always has a block; every rank gets its scores and speed
        evaluation.samples_per_second = plan.num_samples / seconds
        with one_thread():
            evaluation.scores += [
                frechet_score(extractor.name, sums, reference, floor=other, protocol=protocol),
                classifier_score(extractor.name, sums, floor=reference, protocol=protocol),
            ]


def sums_of_samples(model: GenerativeModel, extractor: Extractor, plan: Plan, progress: Progress) -> tuple[FeatureSums, float]:
    """Feature sums of samples 0 ... N - 1 of the plan's seed over all ranks, and the seconds that this rank spent drawing them."""
    seconds = 0.0

    def draw(block: range) -> Tensor:
        nonlocal seconds
        start = time.monotonic()
        images = model.sample_block(plan.seed, block)
        if images.is_cuda:
            torch.cuda.synchronize(images.device)
        seconds += time.monotonic() - start
        return images

    sums = accumulate(draw, plan.num_samples, extractor, model.device, lambda done, total: progress("sampling", done, total))
    return sums, seconds


def sums_of_split(data: ImageDataModule, extractor: Extractor, split: str, progress: Progress) -> FeatureSums:
    """Feature sums of the real images of a split, over all ranks; kept for the next evaluation of the same data."""
    device = extractor.device
    known = _feature_sums.setdefault(data, {})
    if (split, extractor.name, device) not in known:

        def draw(block: range) -> Tensor:
            return data.batch(split, block, device)[0]

        def report(done: int, total: int) -> None:
            progress(f"reference ({split})", done, total)

        known[split, extractor.name, device] = accumulate(draw, data.split_size(split), extractor, device, report)
    return known[split, extractor.name, device]


def accumulate(
    draw: Callable[[range], Tensor], count: int, extractor: Extractor, device: torch.device, report: Callable[[int, int], None]
) -> FeatureSums:
    """Feature sums over all ranks of the images that ``draw`` gives for each block of the index range [0, count)."""
    accumulator = FeatureAccumulator(extractor.num_features, extractor.num_classes, device)
    for number, block in own_blocks(count):
        accumulator.add(number, *extractor(draw(block)))
        report(block.stop, count)
    sums = accumulator.reduce()
    if sums.count != count:
        raise RuntimeError(f"evaluated {sums.count} images instead of {count}")
    return sums


def frechet_score(extractor: str, sums: FeatureSums, reference: FeatureSums, *, floor: FeatureSums, protocol: dict[str, Any]) -> Score:
    """The Fréchet distance to the reference; its floor is the distance between two held-out sets of real images."""
    real = reference.gaussian()

    def distance(of: FeatureSums) -> float:
        return frechet_distance(of.gaussian(), real)

    return Score(
        name=f"FD({extractor})",
        value=distance(sums),
        better="lower",
        protocol=protocol,
        **jackknife(distance, sums),
        floor=distance(floor),
    )


def classifier_score(extractor: str, sums: FeatureSums, *, floor: FeatureSums, protocol: dict[str, Any]) -> Score:
    """The classifier score in one split; its floor is the score of the real images."""
    return Score(
        name=f"CS({extractor})",
        value=sums.classifier_score(),
        better="higher",
        protocol=protocol,
        **jackknife(FeatureSums.classifier_score, sums),
        floor=floor.classifier_score(),
    )


def jackknife(statistic: Callable[[FeatureSums], float], sums: FeatureSums) -> dict[str, Any]:
    """Delete-one-group jackknife standard error of a statistic (Efron, 1982), and what it is; nothing for fewer than three groups."""
    groups = sums.groups()
    if len(groups) < 3 or sums.count - BLOCK < 2:
        return {}
    values = torch.tensor([statistic(sums.without(group)) for group in groups], dtype=torch.float64)
    error = math.sqrt((len(groups) - 1) / len(groups) * float((values - values.mean()).square().sum()))
    return {"uncertainty": error, "uncertainty_kind": f"jackknife over {len(groups)} groups of images"}


# Likelihoods.


def score_likelihood(model: GenerativeModel, data: ImageDataModule, plan: Plan, progress: Progress, evaluation: Evaluation) -> None:
    """Mean negative log-likelihood of a split's images: bits/dim, or nats per image for binary images and vectors."""
    size = data.split_size(plan.split)
    count = min(size, plan.likelihood_images or size)
    values = log_probs(model, data, plan, count, lambda done: progress("likelihood", done, count))
    evaluation.log_probs = values
    unit = data.likelihood_unit
    losses = -values if unit == "nats" else pixels.bits_per_dim(values, data.data_shape)
    k = plan.likelihood_samples
    evaluation.scores.append(
        Score(
            name=unit,
            value=float(losses.mean()),
            better="lower",
            protocol=data.protocol(plan.split) | {"likelihood_images": count} | ({"labels": "given"} if model.conditional else {}),
            uncertainty=float(losses.std() / math.sqrt(count)) if count > 1 else None,
            uncertainty_kind="standard error over images" if count > 1 else None,
            kind=model.likelihood_kind(k),
        )
    )


def log_probs(model: GenerativeModel, data: ImageDataModule, plan: Plan, count: int, report: Callable[[int], None]) -> Tensor:
    """log-probability of the first ``count`` images of a split, in index order, nats, float64 on the CPU, on every rank."""
    values = torch.zeros(count, dtype=torch.float64, device=model.device)
    for _, block in own_blocks(count):
        images, labels = data.batch(plan.split, block, model.device)
        noise = IndexedNoise(stable_hash(plan.seed, "likelihood"), block, model.device)
        labels = model.labels_of((images, labels))
        answer = model.log_prob(images, labels=labels, noise=noise, num_samples=plan.likelihood_samples)
        values[block.start : block.stop] = answer.to(torch.float64)
        report(block.stop)
    # Every other rank holds zeros there, so the sum is the gathered array, bit for bit.
    return distributed.global_sum(values).cpu()


def broadcast_from_first(value: Any) -> Any:
    """Rank 0's plain value on every rank."""
    if distributed.is_distributed():
        holder = [value]
        dist.broadcast_object_list(holder, src=0)
        value = holder[0]
    return value
