"""What models share that are trained by their likelihood and nothing else: one loss, one optimiser, layers that start from data."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from lightning_gen.errors import UserError
from lightning_gen.models.base import Batch, GenerativeModel
from lightning_gen.models.hyperparameters import require_schedule
from lightning_gen.models.sampling import SamplesFromNoise
from lightning_gen.nn.base import LabelEmbedding
from lightning_gen.nn.data_dependent import DataDependent, initializing
from lightning_gen.noise import Noise


class MaximumLikelihoodModel(GenerativeModel, SamplesFromNoise):
    r"""A model that minimises :math:`-\log p(x)` by one optimiser.

    A subclass implements :meth:`negative_log_likelihood` and sets ``embedding``, where among its networks is its own choice.

    Args:
        data_shape: as for every :class:`GenerativeModel`.
        learning_rate: the optimiser's.
        weight_decay: the optimiser's, on all parameters for which a paper has no penalty of its own (its L2 penalty).
        warmup_images: the learning rate rises linearly from 0 over so many images.
        decay_images: it falls linearly to zero at so many images; 0 for a constant rate.
        **data: the rest of what describes the data, and ``conditional``, as for every :class:`GenerativeModel`.
    """

    takes_labels: bool
    """Whether it has a class-conditional form."""
    embedding: LabelEmbedding
    """Labels as the networks are given them."""

    def __init__(
        self,
        data_shape: list[int],
        learning_rate: float = 1e-3,
        weight_decay: float = 0.0,
        warmup_images: int = 0,
        decay_images: int = 0,
        **data: Any,
    ) -> None:
        super().__init__(data_shape, **data)
        require_schedule(learning_rate, weight_decay, warmup_images, decay_images)
        if self.conditional and not self.takes_labels:
            raise UserError(f"model.conditional: {type(self).__name__} takes no labels; expected false")

    def context(self, labels: Tensor | None) -> Tensor | None:
        """What the networks are given of the labels."""
        return None if labels is None else self.embedding(labels)

    def negative_log_likelihood(self, batch: Batch, noise: Noise) -> dict[str, Tensor]:
        """The loss in nats per dimension, so that clipping means the same at every size, and what else is logged of a batch."""
        raise NotImplementedError(f"{type(self).__name__} has to implement negative_log_likelihood")

    def initialize_from_data(self, batch: Batch, noise: Noise) -> None:
        """Layers that are initialised from data, where there are any, see the first global batch, one after the other."""
        if any(isinstance(layer, DataDependent) for layer in self.modules()):
            with initializing(self, self.warm_weights):
                self.negative_log_likelihood(batch, noise)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        terms = self.negative_log_likelihood(batch, self.step_noise(batch))
        self.log_terms(terms)
        return terms["loss"]

    def validation_terms(self, batch: Batch, noise: Noise) -> dict[str, Tensor]:
        """The terms of the loss on a batch."""
        return self.negative_log_likelihood(batch, noise)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.trained_parameters(), lr=self.hparams.learning_rate, weight_decay=self.hparams.weight_decay)
