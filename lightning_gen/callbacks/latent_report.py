"""The report on a variational posterior during training: collapse and gaps as curves."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl

from lightning_gen.analysis.posterior_report import PosteriorReport, has_posterior, posterior_report
from lightning_gen.callbacks.every import EveryImages
from lightning_gen.distributed import buffers_of_first
from lightning_gen.errors import UserError
from lightning_gen.models.base import GenerativeModel


class LatentReport(EveryImages):
    """Logs the :class:`PosteriorReport` of validation images as ``latents/...`` every so many images, for every model with a posterior.

    Other models have nothing to report and are passed over.

    Args:
        every_images: the interval in images seen; 0 for never.
        num_images: the first so many validation images.
        num_samples: k of the bound that the variational gap is measured with.
    """

    def __init__(self, every_images: int = 0, num_images: int = 512, num_samples: int = 64) -> None:
        super().__init__(every_images)
        if min(num_images, num_samples) < 2:
            raise UserError(f"latents: expected num_images and num_samples of at least 2, got {num_images} and {num_samples}")
        self.num_images = num_images
        self.num_samples = num_samples

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: GenerativeModel, *args: Any) -> None:
        """Report when the interval is over; every rank takes part."""
        if self.due(pl_module) and has_posterior(pl_module):
            self.report(trainer, pl_module)

    def report(self, trainer: pl.Trainer, model: GenerativeModel) -> PosteriorReport:
        """Compute and log; the training state is as before."""
        with buffers_of_first(model):
            report = posterior_report(model, trainer.datamodule, "validation", self.num_images, self.num_samples)
        row = {f"latents/{name}": value for name, value in report.scalars().items() if name not in ("images", "bound_samples")}
        row |= {f"latents/kl/{dimension}": value for dimension, value in enumerate(report.kl_per_dimension)}
        for logger in trainer.loggers:
            logger.log_metrics(row | {"progress/images": model.images_seen}, step=model.batches_seen)
        return report
