"""The one evaluation engine: fit, evaluate and the callback score a model through it.

One pass of one network over the samples feeds all scores. Features are put in index order and the final algebra runs once, on rank 0, so
that the scores do not depend on the number of processes.
"""

from __future__ import annotations

import dataclasses
import time
from typing import Any

import torch
from torch import Tensor

from lightning_gen import distributed
from lightning_gen.data.base import ImageDataModule
from lightning_gen.distributed import broadcast_from_first, say_once
from lightning_gen.errors import UserError
from lightning_gen.evaluation.arithmetic import exact_arithmetic
from lightning_gen.evaluation.defaults import choose, headline
from lightning_gen.evaluation.judge import Judge, Progress
from lightning_gen.evaluation.likelihood import gap_score, likelihood_score, log_probs
from lightning_gen.evaluation.plan import Evaluation, Plan, Scoring
from lightning_gen.evaluation.reconstruction import reconstruction_score
from lightning_gen.evaluation.sampling_options import OPTIONS, sampling_with
from lightning_gen.evaluation.standing import batch_norm_layers, standing_statistics
from lightning_gen.evaluation.streams import ImageStream, model_stream, split_stream
from lightning_gen.models.base import GenerativeModel
from lightning_gen.models.capabilities import SupportsLikelihood, SupportsReconstruction, SupportsSampling


def is_measurable(model: GenerativeModel, data: ImageDataModule) -> bool:
    """Whether the data set has a measure for anything that the model can do."""
    if isinstance(model, SupportsLikelihood | SupportsReconstruction):
        return True
    return isinstance(model, SupportsSampling) and choose(data, Scoring()).extractor is not None


def require_something_to_measure(model: GenerativeModel, num_samples: int | None, key: str) -> None:
    """Refuse a plan without samples for a model that has nothing else to score."""
    if num_samples == 0 and not isinstance(model, SupportsLikelihood | SupportsReconstruction):
        name = type(model).__name__
        raise UserError(
            f"{key}: {name} has no likelihood and no reconstructions, hence nothing to score without samples; expected at least 2"
        )


def require_use_of_sample_options(model: GenerativeModel, data: ImageDataModule, plan: Plan) -> None:
    """Refuse standing statistics and sample options on which no score would depend: a likelihood is one of the model as it was trained."""
    for key in ("standing_statistics", *OPTIONS):
        if (value := getattr(plan, key)) and not scores_samples(model, data, plan):
            why = "num_samples is 0" if plan.num_samples == 0 else f"{data.name} has no measure for those of {type(model).__name__}"
            raise UserError(f"{key}: changes samples, of which none are scored here ({why}); expected nothing, got {value}")
    if plan.standing_statistics:
        batch_norm_layers(model)


def scores_samples(model: GenerativeModel, data: ImageDataModule, plan: Plan) -> bool:
    """Whether samples are drawn and scored."""
    return plan.num_samples != 0 and isinstance(model, SupportsSampling) and choose(data, plan.scoring).extractor is not None


def evaluate(
    model: GenerativeModel, data: ImageDataModule, plan: Plan, progress: Progress | None = None, key: dict[str, Any] | None = None
) -> Evaluation:
    """Score a model on a split. Every rank has to call this; every rank gets the same result.

    Args:
        model: the model.
        data: the data set.
        plan: what to score, and how.
        progress: told of every block.
        key: plain data that identifies the weights, such as a checkpoint's hash: a killed evaluation is then continued.
    """
    progress = progress or (lambda stage, done, total: None)
    choice = choose(data, plan.scoring)
    if choice.note and isinstance(model, SupportsSampling):
        say_once(choice.note)
    if plan.generalization and not isinstance(model, SupportsLikelihood):
        raise UserError(f"generalization: {type(model).__name__} has no likelihood to compare; expected false")
    require_use_of_sample_options(model, data, plan)
    extractor = choice.extractor if isinstance(model, SupportsSampling) else None
    evaluation = Evaluation(headline(data, extractor, isinstance(model, SupportsLikelihood)))
    num_samples = data.evaluation_samples if plan.num_samples is None else plan.num_samples
    # Building the extractor's network draws its weights, before the stored ones replace them.
    with torch.random.fork_rng(devices=[]), model.inference(plan.weights), exact_arithmetic(), sampling_with(model, plan.sample_options):
        if num_samples and choice.extractor and isinstance(model, SupportsSampling):
            plan = dataclasses.replace(plan, num_samples=num_samples, scoring=dataclasses.replace(plan.scoring, extractor=choice.extractor))
            with standing_statistics(model, plan.standing_statistics, plan.seed):
                score_samples(model, data, plan, progress, evaluation, key)
        if isinstance(model, SupportsLikelihood):
            score_likelihood(model, data, plan, progress, evaluation)
        if isinstance(model, SupportsReconstruction):
            evaluation.scores.append(reconstruction_score(model, data, plan, progress))
    return evaluation


# Scores of samples.


def score_samples(
    model: GenerativeModel, data: ImageDataModule, plan: Plan, progress: Progress, evaluation: Evaluation, key: dict[str, Any] | None
) -> None:
    """All scores of N samples, in every dialect, with the floor between real images that are not in the reference."""
    assert plan.num_samples
    scoring = plan.scoring
    metrics = data.metrics if scoring.metrics is None else scoring.metrics
    samples = Timed(model_stream(model, plan.num_samples, plan.seed, _identity(model, plan, key)))
    real, held_out = split_stream(data, plan.split), _held_out(data, plan)
    # The labels that a model was trained with are those of its data, whatever these are called.
    samples.stream = dataclasses.replace(samples.stream, class_names=real.class_names)
    first: Judge | None = None
    for name in scoring.dialects:
        judge = Judge.build(scoring, name, model.device, progress)
        if not (asked := judge.own_metrics(metrics, first, samples.stream.shape)):
            continue
        reference = judge.reference(real)
        floor = None if held_out is None else judge.floor(held_out, real, reference, asked)
        evaluation.scores += judge.scores(samples.stream, reference, asked, _protocol(data, plan), floor=floor)
        if first is None:
            first = judge
            evaluation.headline = judge.setting(samples.stream.shape, {}).name("FD"), "lower"
    evaluation.samples_per_second = broadcast_from_first(samples.per_second())


def _identity(model: GenerativeModel, plan: Plan, key: dict[str, Any] | None) -> dict[str, Any] | None:
    """What defines the samples, besides their seed; None when the weights have no name."""
    if key is None:
        return None
    return {**key, "weights": plan.weights, "standing_statistics": plan.standing_statistics, "options": model.answer_options()}


def _protocol(data: ImageDataModule, plan: Plan) -> dict[str, Any]:
    standing = {"standing_statistics": plan.standing_statistics} if plan.standing_statistics else {}
    return data.protocol(plan.split) | {"num_samples": plan.num_samples} | standing


def _held_out(data: ImageDataModule, plan: Plan) -> ImageStream | None:
    """As many real images that are not in the reference, for the floor: of the training split, or of the test split for that one."""
    if not plan.scoring.floor:
        return None
    other = "test" if plan.split == "train" else "train"
    return split_stream(data, other, min(plan.num_samples or 0, data.split_size(other)))


class Timed:
    """A stream that knows how long this rank has drawn: not how long the network took.

    Args:
        stream: the images.
    """

    def __init__(self, stream: ImageStream) -> None:
        self.stream = dataclasses.replace(stream, draw=self._draw)
        self._draw_untimed = stream.draw
        self.images = 0
        self.seconds = 0.0

    def _draw(self, block: range, device: torch.device) -> Tensor:
        start = time.monotonic()
        images = self._draw_untimed(block, device)
        if images.is_cuda:
            torch.cuda.synchronize(images.device)
        self.seconds += time.monotonic() - start
        self.images += len(block)
        return images

    def per_second(self) -> float | None:
        """Images per second over all processes; None when none was drawn."""
        return distributed.world_size() * self.images / self.seconds if self.seconds else None


# Likelihoods.


def score_likelihood(model: GenerativeModel, data: ImageDataModule, plan: Plan, progress: Progress, evaluation: Evaluation) -> None:
    """The likelihood of a split, and how far that of the training images lies above it."""

    def of_split(split: str, count: int, stage: str) -> Tensor:
        return log_probs(model, data, plan, split, count, lambda done: progress(stage, done, count))

    count = min(data.split_size(plan.split), plan.likelihood_images or data.split_size(plan.split))
    evaluation.log_probs = of_split(plan.split, count, "likelihood")
    evaluation.scores.append(likelihood_score(data, plan, model, evaluation.log_probs))
    if plan.generalization:
        count = min(count, data.split_size("train"))
        train = of_split("train", count, "likelihood (train)")
        evaluation.scores.append(gap_score(data, plan, model, evaluation.log_probs[:count], train))
