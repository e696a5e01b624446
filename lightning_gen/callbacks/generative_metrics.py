"""Scores on the validation split during training; the best checkpoint by the data set's headline score."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, Literal

import pytorch_lightning as pl
import torch

from lightning_gen.callbacks.budget import Budget
from lightning_gen.callbacks.checkpoints import Checkpoints, save_checkpoint
from lightning_gen.callbacks.every import EveryImages, completes_step
from lightning_gen.data.base import ImageDataModule
from lightning_gen.distributed import alone, buffers_of_first, say
from lightning_gen.errors import UserError
from lightning_gen.evaluation import Evaluation, Plan, Scoring, evaluate
from lightning_gen.models.base import Batch, GenerativeModel
from lightning_gen.noise import IndexedNoise, blocks, stable_hash

VALIDATION_SEED = 1
"""Not the seed of the final evaluation, so that "best" is not chosen on the noise that it is reported on."""

HELD_OUT_IMAGES = 512
"""Validation images that a discriminator is asked about."""


class GenerativeMetrics(EveryImages):
    """Evaluates on the validation split every so many images, logs ``eval/<score>`` and saves ``checkpoints/best.ckpt``.

    Between checkpoints the Fréchet distance of few samples is extrapolated to many (``2 FD(N) - FD(N/2)``), so that N does not bias it.
    Every regular checkpoint is scored by the full protocol instead, logged as ``full/<score>``; those scores alone choose the best, where
    there are any. Training continues as if nothing had been scored: generators, modes and weights are as before.

    Args:
        every_images: the interval; 0 for never.
        num_samples: N images to draw.
        metrics: of fid, is, kid, prdc, fd_infinity, per_class, authpct, diversity; null for fid, is and diversity.
        likelihood_images: the first so many validation images; null for all.
        checkpoint_samples: N of the full protocol at every regular checkpoint; null for the data set's own N, 0 for the small one only.
        checkpoint_likelihood_images: the first so many validation images of the full protocol; null for all.
        extractor: the feature network; null for the data set's. The final evaluation takes the same one.
        extractor_weights: a file with its weights, where it can be given one.
    """

    def __init__(
        self,
        every_images: int = 0,
        num_samples: int = 1000,
        metrics: list[str] | None = None,
        likelihood_images: int | None = 1000,
        checkpoint_samples: int | None = None,
        checkpoint_likelihood_images: int | None = None,
        extractor: str | None = None,
        extractor_weights: str | None = None,
    ) -> None:
        super().__init__(every_images)
        if checkpoint_samples is not None and (checkpoint_samples < 0 or checkpoint_samples == 1):
            raise UserError(f"checkpoint_samples: expected null, 0 or at least 2, got {checkpoint_samples}")
        self.scoring = Scoring(extractor=extractor, extractor_weights=extractor_weights, floor=False)
        chosen = None if metrics is None else tuple(metrics)
        small = dataclasses.replace(self.scoring, metrics=("fid", "is", "diversity") if chosen is None else chosen, debiased=True)
        self.plan = Plan("validation", num_samples, likelihood_images=likelihood_images, seed=VALIDATION_SEED, scoring=small)
        full = dataclasses.replace(self.scoring, metrics=chosen)
        count = checkpoint_likelihood_images
        self.full_plan = Plan("validation", checkpoint_samples, likelihood_images=count, seed=VALIDATION_SEED, scoring=full)
        if 0 < num_samples < 4:
            raise UserError(f"num_samples: a debiased distance needs at least 4, or 0 for no scores of samples, got {num_samples}")
        self.best: float | None = None
        self.best_images: int | None = None
        self._said = False
        self._wanted: Literal["eval", "full"] | None = None

    def on_train_batch_end(self, trainer: pl.Trainer, model: GenerativeModel, outputs: Any, batch: Batch, batch_idx: int) -> None:
        """Evaluate when the interval is crossed, by the full protocol where a checkpoint is due too."""
        if self.scores_checkpoints(trainer) and any(checkpoints.due(model) for checkpoints in _checkpoints(trainer)):
            self._wanted = "full"
        elif self.due(model):
            self._wanted = self._wanted or "eval"
        if self._wanted and completes_step(trainer, batch_idx):
            self.evaluate(trainer, model, self._wanted)
            self._wanted = None

    def scores_checkpoints(self, trainer: pl.Trainer) -> bool:
        """Whether regular checkpoints are scored by the full protocol; not where the budget ends before the first of them."""
        budget = min([callback.images for callback in trainer.callbacks if isinstance(callback, Budget)], default=math.inf)
        regular = any(0 < checkpoints.every_images <= budget for checkpoints in _checkpoints(trainer))
        return regular and self.every_images > 0 and self.full_plan.num_samples != 0

    def evaluate(self, trainer: pl.Trainer, model: GenerativeModel, kind: Literal["eval", "full"]) -> Evaluation:
        """Score, log, and save the model when it is the best so far. Every rank has to call this."""
        with buffers_of_first(model):
            evaluation = evaluate(model, trainer.datamodule, self.full_plan if kind == "full" else self.plan)
            held_out = held_out_terms(model, trainer.datamodule)
        row = {f"{kind}/{score.name}": score.value for score in evaluation.scores} | held_out | {"progress/images": model.images_seen}
        for logger in trainer.loggers:
            logger.log_metrics(row, step=model.batches_seen)
        if kind == "full" or not self.scores_checkpoints(trainer):
            self._keep_best(trainer, model, evaluation)
        return evaluation

    def _keep_best(self, trainer: pl.Trainer, model: GenerativeModel, evaluation: Evaluation) -> None:
        name, better = evaluation.headline
        value = evaluation.value(name)
        if value is None and not self._said:
            what = f"{name} cannot be computed for this model and evaluation.num_samples" if evaluation.scores else "nothing can be scored"
            say(f"evaluation: {what}, so there is no best checkpoint")
            self._said = True
        if value is not None and self._improves(value, better):
            self.best, self.best_images = value, model.images_seen
            save_checkpoint(trainer, model, "best")

    def _improves(self, value: float, better: str) -> bool:
        if not math.isfinite(value):
            return False
        return self.best is None or (value < self.best if better == "lower" else value > self.best)

    def state_dict(self) -> dict[str, Any]:
        """The best score so far, which a resumed run has to beat."""
        return {"best": self.best, "best_images": self.best_images}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the best score so far."""
        self.best, self.best_images = state["best"], state["best_images"]


def held_out_terms(model: GenerativeModel, data: ImageDataModule) -> dict[str, float]:
    """The terms of the loss that a model wants to see on images it does not train on: a discriminator that knows its images by heart is
    right about these less often. Means over the first blocks of the validation split, as ``held_out/<term>``; the same on every rank."""
    if not model.held_out_terms:
        return {}
    count = min(HELD_OUT_IMAGES, data.split_size("validation"))
    sums = dict.fromkeys(model.held_out_terms, 0.0)
    with torch.random.fork_rng(devices=[]), alone(), model.inference("live"):
        for block in blocks(count):
            noise = IndexedNoise(stable_hash("held out"), block, model.device)
            terms = model.validation_terms(data.batch("validation", block, model.device), noise)
            for name in sums:
                sums[name] += float(terms[name]) * len(block)
    return {f"held_out/{name}": total / count for name, total in sums.items()}


def _checkpoints(trainer: pl.Trainer) -> list[Checkpoints]:
    return [callback for callback in trainer.callbacks if isinstance(callback, Checkpoints)]
