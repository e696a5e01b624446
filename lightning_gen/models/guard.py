"""Stops a run whose loss has become NaN or infinite: on all ranks together, with the name of the term and of the layer.

The rank on which it began keeps what a replay needs (:class:`Failure`). On one CPU the flags are read at every step. Elsewhere they are
read every few steps: the batch that is kept is still the first with a bad loss, but the weights have moved on since, and a gradient that
was bad before any loss was shows only in them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lightning_gen import distributed
from lightning_gen.bijections.trace import Trace
from lightning_gen.errors import NonFiniteLossError, UserError
from lightning_gen.noise import RecordedNoise

if TYPE_CHECKING:
    from lightning_gen.models.base import Batch, GenerativeModel


@dataclass(frozen=True)
class Step:
    """One watched step of this rank.

    Args:
        flags: which terms were not finite.
        batch, images_seen, batches_seen: what its loss was a function of, besides the weights.
    """

    flags: dict[str, Tensor]
    batch: Batch | None
    images_seen: int
    batches_seen: int


@dataclass(frozen=True)
class Failure:
    """What the rank on which a run failed knows of it.

    Args:
        what: what was not finite, in words.
        where: the layer, in words.
        step: the first step of which this is known.
        draws: all noise of that step, by name.
        terms: its loss terms at the weights of the moment.
        later_steps: steps that were made after it, with weights that it may have spoiled.
    """

    what: str
    where: str
    step: Step
    draws: dict[str, Tensor]
    terms: dict[str, float]
    later_steps: int


class FiniteGuard:
    """Collects one flag per loss term on the device and looks at them every few steps, so that no step waits for the device.

    Args:
        every_steps: how often the flags are read where reading them is not free (an accelerator, or several processes).
    """

    def __init__(self, every_steps: int = 16) -> None:
        self.every_steps = every_steps
        self.last_checkpoint: str | None = None
        self.failure: Failure | None = None
        """Set on the rank on which the run failed."""
        self._watched: list[Step] = []
        self._steps = 0

    def watch(self, model: GenerativeModel, terms: Mapping[str, Tensor]) -> None:
        """Note which terms are not finite; raise on the next look."""
        self._watched.append(_step(model, {name: ~torch.isfinite(value.detach()).all() for name, value in terms.items()}))
        self._steps += 1
        if _is_free(model) or self._steps % self.every_steps == 0:
            self.check(model)

    def check(self, model: GenerativeModel) -> None:
        """Raise on every rank when a term was not finite on any of them. Every rank has to call this."""
        watched, self._watched = self._watched, []
        names = sorted({name for step in watched for name in step.flags})
        if not names:
            return
        never = torch.zeros_like(next(iter(watched[0].flags.values())))
        flags = torch.stack([step.flags.get(name, never) for step in watched for name in names]).view(len(watched), len(names))
        for number, (counts, ranks) in enumerate(_over_ranks(flags)):
            if any(counts):
                terms = ", ".join(repr(name) for name, count in zip(names, counts, strict=True) if count)
                raise self._error(f"loss term {terms}", model, watched[number], ranks[0], later_steps=len(watched) - 1 - number)

    def check_weights(self, model: GenerativeModel) -> None:
        """Raise on every rank when a weight is not finite on any of them: a loss may be finite and its gradient not.

        Every rank has to call this.
        """
        finite = [torch.isfinite(parameter).all() for parameter in model.parameters()]
        if not finite:
            return
        (((count,), ranks),) = _over_ranks(~torch.stack(finite).all().view(1, 1))
        if count:
            raise self._error("a weight", model, _step(model, {}), ranks[0], later_steps=1)

    def check_gradients(self, model: GenerativeModel, optimizer: torch.optim.Optimizer) -> None:
        """Raise before an update with a gradient that is not finite, where looking is free: the weights are still good then."""
        if not _is_free(model):
            return
        gradients = [weight.grad for group in optimizer.param_groups for weight in group["params"] if weight.grad is not None]
        # Norms in one call are the cheapest look at all of them; one may overflow where the gradient does not.
        if not gradients or torch.stack(torch._foreach_norm(gradients)).isfinite().all():
            return
        bad = [name for name, weight in model.named_parameters() if weight.grad is not None and not weight.grad.isfinite().all()]
        if bad:
            raise self._error(f"the gradient of {bad[0]!r}", model, _step(model, {}), distributed.rank(), of_gradient=True)

    def _error(
        self, what: str, model: GenerativeModel, step: Step, rank: int, later_steps: int = 0, of_gradient: bool = False
    ) -> NonFiniteLossError:
        where = f"on rank {rank}"
        if rank == distributed.rank():
            where, draws, terms = _examine(model, step, of_gradient)
            if step.batch is not None:
                self.failure = Failure(what, where, step, draws, terms, later_steps)
        if step.images_seen != model.images_seen:
            where = f"first after {step.images_seen} images, {where}"
        return NonFiniteLossError(
            f"{what} became NaN or infinite after {model.images_seen} images"
            f" ({where}); last good checkpoint: {self.last_checkpoint or 'none yet'}"
        )


def _step(model: GenerativeModel, flags: dict[str, Tensor]) -> Step:
    return Step(flags, model.last_batch, model.images_seen, model.batches_seen)


def _is_free(model: GenerativeModel) -> bool:
    return model.device.type == "cpu" and model.world_size == 1


def _over_ranks(flags: Tensor) -> list[tuple[list[int], list[int]]]:
    """For each row of this rank's flags: how many ranks have set each, and which ranks have set any."""
    ranks = torch.zeros(len(flags), distributed.world_size(), dtype=torch.int64, device=flags.device)
    ranks[:, distributed.rank()] = flags.any(1).to(torch.int64)
    rows = distributed.global_sum(torch.cat([flags.to(torch.int64), ranks], dim=1)).tolist()
    width = flags.shape[1]
    return [(row[:width], [rank for rank, bad in enumerate(row[width:]) if bad]) for row in rows]


def _examine(model: GenerativeModel, step: Step, of_gradient: bool) -> tuple[str, dict[str, Tensor], dict[str, float]]:
    """Run the step once more, on this rank alone: the layer to blame in words, the noise that was drawn, the terms."""
    draws: dict[str, Tensor] = {}
    if step.batch is None:
        return _where(model, None), draws, {}
    batch, trace = step.batch, Trace(model)
    buffers = [buffer.clone() for buffer in model.buffers()]
    try:
        with _as_of(model, step), distributed.alone(), torch.set_grad_enabled(of_gradient):
            model.seed_generators(model.global_rank)
            noise = RecordedNoise(model.step_noise(batch), draws)
            terms = trace.run(lambda: model.validation_terms(batch, noise))
    except (RuntimeError, ValueError, UserError) as error:  # a matrix of NaN, no memory, a stiff path: why the run ended is more important
        return f"its layers cannot be looked at: {' '.join(str(error).split())[:100]}", draws, {}
    finally:
        for buffer, before in zip(model.buffers(), buffers, strict=True):
            buffer.copy_(before)
    return _where(model, trace), draws, {name: term.detach().mean().item() for name, term in terms.items()}


def _where(model: GenerativeModel, trace: Trace | None) -> str:
    for name, parameter in model.named_parameters():
        if not torch.isfinite(parameter).all():
            return f"parameter {name!r} is not finite"
    if trace and trace.culprit:
        return f"first in {trace.describe(trace.culprit)}"
    if trace and trace.fed:
        return f"first in what {trace.describe(trace.fed)} is given"
    if trace and trace.gradient_culprit:
        return f"all values are finite, the gradient first fails in {trace.describe(trace.gradient_culprit)}"
    return "all parameters and layers are finite" + (f"; {trace.describe_extreme()}" if trace else "")


@contextlib.contextmanager
def _as_of(model: GenerativeModel, step: Step) -> Iterator[None]:
    """The model's progress as it was in a step; afterwards as it is."""
    now = model.images_seen, model.batches_seen
    model.images_seen, model.batches_seen = step.images_seen, step.batches_seen
    try:
        yield
    finally:
        model.images_seen, model.batches_seen = now
