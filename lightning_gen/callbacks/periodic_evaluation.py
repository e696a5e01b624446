"""Scores on the validation split during training; the best checkpoint by the data set's headline score."""

from __future__ import annotations

import math
from typing import Any

import pytorch_lightning as pl

from lightning_gen.callbacks.checkpoints import save_checkpoint
from lightning_gen.callbacks.every import EveryImages
from lightning_gen.distributed import broadcast_buffers, say
from lightning_gen.evaluation import Evaluation, Plan, evaluate
from lightning_gen.models.base import Batch, GenerativeModel

VALIDATION_SEED = 1
"""Not the seed of the final evaluation, so that "best" is not chosen on the noise that it is reported on."""


class PeriodicEvaluation(EveryImages):
    """Evaluates on the validation split every so many images, logs ``eval/<score>`` and saves ``checkpoints/best.ckpt``.

    Args:
        every_images: the interval; 0 for never.
        num_samples: N images to draw.
        likelihood_images: the first so many validation images; null for all.
    """

    def __init__(self, every_images: int = 0, num_samples: int = 1000, likelihood_images: int | None = 1000) -> None:
        super().__init__(every_images)
        self.plan = Plan("validation", num_samples, likelihood_images=likelihood_images, seed=VALIDATION_SEED)
        self.best: float | None = None
        self.best_images: int | None = None
        self._said = False

    def on_train_batch_end(self, trainer: pl.Trainer, model: GenerativeModel, outputs: Any, batch: Batch, batch_idx: int) -> None:
        """Evaluate when the interval is crossed."""
        if self.due(model):
            self.evaluate(trainer, model)

    def evaluate(self, trainer: pl.Trainer, model: GenerativeModel) -> Evaluation:
        """Score, log, and save the model when it is the best so far. Every rank has to call this."""
        broadcast_buffers(model)
        evaluation = evaluate(model, trainer.datamodule, self.plan)
        row = {f"eval/{score.name}": score.value for score in evaluation.scores} | {"progress/images": model.images_seen}
        for logger in trainer.loggers:
            logger.log_metrics(row, step=model.batches_seen)
        name, better = trainer.datamodule.headline
        value = evaluation.value(name)
        if value is None and not self._said:
            say(f"evaluation: {name} cannot be computed for this model and evaluation.num_samples, so there is no best checkpoint")
            self._said = True
        if value is not None and self._improves(value, better):
            self.best, self.best_images = value, model.images_seen
            save_checkpoint(trainer, model, "best")
        return evaluation

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
