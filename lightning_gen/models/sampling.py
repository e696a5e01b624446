"""Sampling, block by block, so that sample i of a seed is the same whatever is drawn beside it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import torch
from torch import Tensor

from lightning_gen.errors import UserError
from lightning_gen.models.inference import Weights
from lightning_gen.noise import BLOCK, IndexedNoise, Noise, stable_hash


class SamplesFromNoise:
    """Adds ``sample`` to a model that implements ``sample_images``: block by block, with noise keyed by the global sample index."""

    sample_draws: Mapping[tuple[str, str], tuple[int, ...]] = MappingProxyType({})
    """Kind and name of every draw that the last samples were made of -> its shape."""

    def sample_images(self, noise: Noise, *, labels: Tensor | None = None) -> Tensor:
        """One image per item of ``noise``: uint8 ``(B, C, H, W)``, or float32 ``(B, D)`` for vectors."""
        raise NotImplementedError(f"{type(self).__name__} has to implement sample_images")

    def sample(
        self, num_samples: int, *, seed: int = 0, labels: Tensor | None = None, weights: Weights = "ema", first_index: int = 0
    ) -> Tensor:
        """``num_samples`` new images; sample i of a seed is the same whatever the batch, the rank or the number drawn.

        Args:
            num_samples: N, at least 1.
            seed: the seed s of the noise.
            labels: classes ``(N,)`` or attributes ``(N, A)`` for a conditional model; balanced classes by default.
            weights: the averaged (``ema``, when there are any) or the ``live`` networks.
            first_index: global index of the first sample.
        """
        if num_samples < 1:
            raise UserError(f"num_samples: expected at least 1, got {num_samples}")
        if labels is not None and len(self.condition(labels)) != num_samples:
            raise UserError(f"labels: expected {num_samples} (one per sample), got {len(labels)}")
        last = first_index + num_samples
        images = []
        with self.inference(weights):
            for start in range(first_index, last, BLOCK):
                indices = range(start, min(start + BLOCK, last))
                images.append(
                    self.sample_block(seed, indices, None if labels is None else labels[indices.start - first_index :][: len(indices)])
                )
        return torch.cat(images)

    def sample_block(self, seed: int, indices: range, labels: Tensor | None = None) -> Tensor:
        """The images of some consecutive sample indices, within :meth:`GenerativeModel.inference`."""
        noise = IndexedNoise(stable_hash(seed, "sampling"), indices, self.device)
        if labels is None and self.conditional:
            labels = self.default_labels(indices)
        images = self.sample_images(noise, labels=None if labels is None else labels.to(self.device))
        self.sample_draws = noise.drawn
        return images

    def default_labels(self, indices: range) -> Tensor:
        """Labels of samples when nobody names any: the trained classes in turn by index, hence balanced; attributes all absent."""
        index = torch.arange(indices.start, indices.stop)
        if self.num_classes:
            return torch.tensor(self.trained_classes)[index % len(self.trained_classes)]
        return torch.zeros(len(index), self.num_attributes, dtype=torch.int64)
