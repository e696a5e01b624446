r"""A classifier that starts from the encoder against the same one from scratch, with few labels.

The classifier is a linear layer on ``encode(images)``, and all weights that ``encode`` uses are trained: Adam at a rate of 0.001, batches
of 50, and a number of epochs that is fixed beforehand; nothing is chosen by looking at the split that judges.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lightning_gen.analysis.finite import require_finite_weights
from lightning_gen.analysis.probe import balanced
from lightning_gen.analysis.representations import (
    choose_images,
    labels_of,
    latent_width,
    require_classes,
    require_encoder,
    starting_point,
    untrained,
)
from lightning_gen.data.base import ImageDataModule
from lightning_gen.data.sampler import epoch_order
from lightning_gen.errors import UserError
from lightning_gen.models.base import GenerativeModel, Weights
from lightning_gen.noise import blocks, philox, stable_hash

EPOCHS = 100
BATCH = 50
LEARNING_RATE = 1e-3

AfterStep = Callable[[int, Tensor], None]
"""Told how many images a step of training saw, and its cross-entropy in nats."""


class Classifier(nn.Module):
    """A linear layer on what a model encodes: images to logits ``(B, K)``.

    Args:
        model: whose ``encode`` is used; it is trained in place.
        num_classes: K.
        seed: keys the linear layer's first weights.
    """

    def __init__(self, model: Any, num_classes: int, seed: int) -> None:
        super().__init__()
        self.model = model
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(stable_hash("classifier", seed) >> 1)
            self.head = nn.Linear(latent_width(model), num_classes).to(model.device)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.model.encode(images))

    def trained_parameters(self, images: Tensor) -> list[nn.Parameter]:
        """The linear layer's, and those of the model that ``encode`` depends on.

        Raises:
            UserError: it depends on none differentiably.
        """
        logits = self(images)
        parameters = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        gradients = torch.autograd.grad(logits.sum(), parameters, allow_unused=True)
        reached = [parameter for parameter, gradient in zip(parameters, gradients, strict=True) if gradient is not None]
        if not reached:
            raise UserError(f"finetune: no gradient reaches the encoder of {type(self.model).__name__}; expected a differentiable one")
        return [*reached, *self.head.parameters()]

    @torch.no_grad()
    def accuracy(self, data: ImageDataModule, split: str) -> float:
        """The share of a split's images that get the right label."""
        self.eval()
        right = 0
        for block in blocks(data.split_size(split)):
            images, labels = data.batch(split, block, self.model.device)
            right += int((self(images).argmax(1) == labels).sum())
        return right / data.split_size(split)


def finetune(
    model: GenerativeModel,
    data: ImageDataModule,
    num_labels: int,
    *,
    split: str = "test",
    seeds: int = 5,
    epochs: int = EPOCHS,
    weights: Weights = "ema",
    after_step: AfterStep = lambda images, loss: None,
) -> dict[str, Any]:
    """Accuracies on a split with ``num_labels`` labelled training images, from the encoder and from scratch, seed by seed.

    A seed is one draw of the labelled images, of the linear layer, of the untrained weights, and of the order of training; both see the
    same images in the same order, so that their differences are paired. ``after_step`` is told of every step, of
    :func:`images_to_train_on` in all.

    Raises:
        UserError: the model has no differentiable encoder, is conditional or has NaN weights, or the data has fewer than two classes or too
            few images.
    """
    require_encoder(model, "finetune")
    require_classes(data, "finetune")
    with model.inference(weights):
        require_finite_weights(model)
    found: dict[str, list[float]] = {"finetuned": [], "from scratch": []}
    all_labels = labels_of(data, "train", choose_images(data, "train", None, 0))
    for seed in range(seeds):
        labelled = balanced(all_labels, num_labels, philox("finetune", seed))
        starts = {"finetuned": starting_point(model, weights), "from scratch": untrained(model, data, seed)}
        for name, start in starts.items():
            classifier = Classifier(start, data.num_classes, seed)
            train(classifier, *data.batch("train", labelled.tolist(), model.device), epochs, seed, after_step)
            found[name].append(classifier.accuracy(data, split))
    differences = np.subtract(found["finetuned"], found["from scratch"])
    return {name: summary(values) for name, values in [*found.items(), ("difference", differences.tolist())]}


def images_to_train_on(num_labels: int, seeds: int, epochs: int) -> int:
    """How many images both classifiers of all seeds see together."""
    size = min(BATCH, num_labels)
    return 2 * seeds * epochs * (num_labels // size * size)


def train(
    classifier: Classifier, images: Tensor, labels: Tensor, epochs: int, seed: int, after_step: AfterStep = lambda images, loss: None
) -> None:
    """Minimise the cross-entropy on labelled images ``(N, C, H, W)``; an epoch's last incomplete batch is left out."""
    if epochs == 0:
        return
    size = min(BATCH, len(images))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stable_hash("finetune", seed) >> 1)  # of dropout
        optimizer = torch.optim.Adam(classifier.trained_parameters(images[:size]), lr=LEARNING_RATE)
        classifier.train()
        for epoch in range(epochs):
            order = torch.from_numpy(epoch_order(seed, epoch, len(images))).to(images.device)
            for batch in order[: len(images) // size * size].view(-1, size):
                optimizer.zero_grad()
                loss = nn.functional.cross_entropy(classifier(images[batch]), labels[batch])
                loss.backward()
                optimizer.step()
                after_step(size, loss.detach())


def summary(values: list[float]) -> dict[str, Any]:
    """Mean and standard deviation over seeds (None for one seed), and the values."""
    spread = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return {"mean": float(np.mean(values)), "standard_deviation": spread, "by_seed": values}
