"""A training step that met NaN or infinity: kept in a file, replayed in float32 and in float64 with the same batch and the same noise."""

from __future__ import annotations

import math
import pathlib
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lightning_gen.bijections.trace import Trace
from lightning_gen.checkpoint import load_model, model_of, read_checkpoint
from lightning_gen.errors import UserError
from lightning_gen.files import complete
from lightning_gen.models.base import CHECKPOINT_KEY, GenerativeModel, default_dtype
from lightning_gen.noise import RecordedNoise

KEY = "nonfinite"


def failure_file(run: pathlib.Path) -> pathlib.Path:
    """Where a run keeps the step on which it failed."""
    return run / "debug" / "nonfinite.pt"


def write_failure(model: GenerativeModel, path: pathlib.Path, precision: str, rank: int) -> None:
    """Write the step on which this rank failed, with the live weights, in the format of a checkpoint; no averages, no optimisers.

    Raises:
        UserError: the file cannot be written; there is none then.
    """
    failure = model.guard.failure
    assert failure is not None
    assert failure.step.batch is not None
    weights = {name: tensor for name, tensor in model.state_dict().items() if not name.startswith("ema.")}
    content: dict[str, Any] = {"state_dict": weights}
    model.on_save_checkpoint(content)
    content[CHECKPOINT_KEY]["has_ema"] = False
    images, labels = failure.step.batch
    content[KEY] = {
        "what": failure.what,
        "where": failure.where,
        "terms": failure.terms,
        "images": images.cpu(),
        "labels": labels.cpu(),
        "draws": {name: draw.cpu() for name, draw in failure.draws.items()},
        "images_seen": failure.step.images_seen,
        "batches_seen": failure.step.batches_seen,
        "rank": rank,
        "training_noise": model.training_noise,
        "later_steps": failure.later_steps,
        "evaluating": [name for name, module in model.named_modules() if not module.training],
        "precision": precision,
        "device": model.device.type,
        "last_checkpoint": model.guard.last_checkpoint,
    }
    with complete(path) as partial:
        torch.save(content, partial)


def read_failure(run_or_file: str) -> tuple[pathlib.Path, dict[str, Any]]:
    """The file of a run's failed step, and its content.

    Raises:
        UserError: there is none, or it is damaged.
    """
    path = pathlib.Path(run_or_file)
    file = path if path.is_file() else failure_file(path)
    if not path.exists():
        raise UserError(f"{run_or_file!r}: no such run folder or file")
    if not file.is_file():
        raise UserError(f"{run_or_file!r}: no debug/{file.name}; expected a run that has met NaN or infinity")
    content = read_checkpoint(file)
    if not isinstance(content.get(KEY), dict):
        raise UserError(f"{str(file)!r}: expected the debug file of a run that has met NaN or infinity, got a checkpoint")
    return file, content


def last_good_checkpoint(file: pathlib.Path, content: dict[str, Any]) -> pathlib.Path | None:
    """The checkpoint that was the last before the failure, where it is still there; a run may have been moved."""
    if (saved := content[KEY]["last_checkpoint"]) is None:
        return None
    saved = pathlib.Path(saved)
    places = (file.parent.parent / saved.parent.name / saved.name, saved)
    return next((place for place in places if place.is_file()), None)


@dataclass(frozen=True)
class Pass:
    """One run of the step in one type of float.

    Args:
        terms: the loss terms, means over the batch.
        trace: what the layers did.
    """

    terms: dict[str, float]
    trace: Trace

    @property
    def finite_values(self) -> bool:
        """Whether all loss terms are finite."""
        return all(math.isfinite(value) for value in self.terms.values())

    @property
    def finite_gradient(self) -> bool:
        """Whether the gradient is."""
        return self.trace.finite_gradient

    def blame(self) -> str:
        """Where it went wrong first, in words."""
        trace = self.trace
        in_loss = f"the loss itself ({trace.describe_extreme()})"
        if self.finite_values:
            return f"the gradient of {trace.describe(trace.gradient_culprit) if trace.gradient_culprit else in_loss}"
        if trace.culprit:
            return trace.describe(trace.culprit)
        return f"what {trace.describe(trace.fed)} is given" if trace.fed else in_loss


@dataclass(frozen=True)
class Replay:
    """The failed step with one state of the weights.

    Args:
        weights: which state this is.
        images_seen: how many images it had seen.
        bad_weights: parameters that are not finite.
        single, double: the step in float32 and in float64.
    """

    weights: str
    images_seen: int
    bad_weights: list[str]
    single: Pass
    double: Pass

    @property
    def verdict(self) -> str:
        """What the comparison says, one line."""
        if self.bad_weights:
            more = f" and {len(self.bad_weights) - 1} more" if len(self.bad_weights) > 1 else ""
            return f"weights are already non-finite: {self.bad_weights[0]!r}{more}"
        if self.single.finite_values and self.single.finite_gradient:
            return "float32 is finite here: these weights and this batch do not fail on this machine"
        if self.double.finite_values and self.double.finite_gradient:
            return f"float64 is finite: the float32 overflow is in {self.single.blame()}"
        return f"not finite in float64 either: first in {self.double.blame()}"


def replay(file: pathlib.Path, content: dict[str, Any], checkpoint: pathlib.Path | None = None) -> Replay:
    """Run the step in float32 and in float64 on the CPU, with the weights at the failure or with those of a checkpoint.

    Raises:
        UserError: the step cannot be computed at all.
    """
    failure = content[KEY]
    model = load_model(checkpoint) if checkpoint else model_of(content, file)
    images_seen = model.images_seen
    evaluating = set(failure["evaluating"])
    for name, module in model.named_modules():
        module.training = name not in evaluating and not name.startswith("ema")
    model.images_seen, model.batches_seen = failure["images_seen"], failure["batches_seen"]
    model.training_noise, model.data_initialized = failure["training_noise"], True
    weights = [name for name, weight in model.named_parameters() if not weight.isfinite().all()]
    draws = dict(failure["draws"])  # what only a pass to the end draws is added in float32
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    single = _run(model, failure, draws, torch.float32)
    model.load_state_dict(state)  # running statistics have moved
    double = _run(model, failure, draws, torch.float64)
    return Replay("checkpoint" if checkpoint else "failed", images_seen, weights, single, double)


def _run(model: GenerativeModel, failure: dict[str, Any], draws: dict[str, Tensor], dtype: torch.dtype) -> Pass:
    model.to(dtype)
    batch = failure["images"], failure["labels"]
    trace = Trace(model)
    with default_dtype(dtype), torch.enable_grad():
        model.seed_generators(failure["rank"])
        noise = RecordedNoise(model.step_noise(batch), draws)
        try:
            terms = trace.run(lambda: model.validation_terms(batch, noise))
        except (RuntimeError, ValueError) as error:
            raise UserError(f"the step cannot be computed in {dtype}: {' '.join(str(error).split())[:200]}") from error
    return Pass({name: term.detach().double().mean().item() for name, term in terms.items()}, trace)
