"""What an encoder makes of a data set's images, in index order, and what to hold it against: raw pixels, and the untrained network."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
import torch

from lightning_gen.analysis.finite import require_finite
from lightning_gen.data.base import ImageDataModule
from lightning_gen.errors import UserError
from lightning_gen.evaluation.arithmetic import exact_arithmetic
from lightning_gen.images import is_image, to_unit
from lightning_gen.models.base import GenerativeModel, Weights
from lightning_gen.models.capabilities import SupportsLatents
from lightning_gen.noise import BLOCK, IndexedNoise, blocks, philox, stable_hash


def require_encoder(model: GenerativeModel, what: str) -> None:
    """Refuse a model without codes, or whose codes are made with the help of the label.

    Raises:
        UserError: it is one of these; ``what`` is how the message calls the analysis.
    """
    name = type(model).__name__
    if not isinstance(model, SupportsLatents):
        raise UserError(f"{what}: {name} has no encoder; expected a model with latents")
    if model.conditional:
        raise UserError(f"{what}: {name} encodes with the label given, which would leak it into the codes; expected an unconditional model")


def require_classes(data: ImageDataModule, what: str) -> None:
    """Refuse data without class labels, and whose training images are all of one class."""
    if not data.num_classes:
        raise UserError(f"{what}: {data.name} has no class labels; expected data with classes")
    if len(kept := np.unique(data.arrays("train")[1])) < 2:
        raise UserError(f"{what}: all training images are of class {kept[0]}; expected at least 2 classes to tell apart")


def choose_images(data: ImageDataModule, split: str, count: int | None, seed: int) -> np.ndarray:
    """``count`` indices of a split's images (all when there are fewer, or for None), drawn by the seed and sorted: int64 ``(N,)``."""
    size = data.split_size(split)
    if count is None or count >= size:
        return np.arange(size)
    return np.sort(philox("analysis", split, seed).permutation(size)[:count])


def labels_of(data: ImageDataModule, split: str, indices: np.ndarray) -> np.ndarray:
    """The class labels of some images of a split, int64 ``(N,)``."""
    return data.arrays(split)[1][indices]


def pixels_of(data: ImageDataModule, split: str, indices: np.ndarray) -> np.ndarray:
    """Some images of a split as evaluation sees them, in [0, 1] (vectors: as they are), flat: float32 ``(N, D)``."""
    images = data.batch(split, indices.tolist())[0]
    return (to_unit(images) if is_image(data.data_shape) else images).flatten(1).numpy().astype(np.float32)


def codes_of(
    model: Any,
    data: ImageDataModule,
    split: str,
    indices: np.ndarray,
    weights: Weights = "ema",
    *,
    draws: bool = False,
    hidden: bool = False,
) -> np.ndarray:
    """``encode`` of some images of a split, float32 ``(N, D)``.

    Args:
        model, data, split: whose codes of which images.
        indices: of the images.
        weights: averaged ones, where there are any, or live ones.
        draws: one draw from the posterior of each image, keyed by the image's index, in place of ``encode``.
        hidden: the encoder's last hidden layer, in place of ``encode``.

    Raises:
        UserError: some are NaN or infinite.
    """
    codes = []
    with torch.random.fork_rng(devices=[]), model.inference(weights), exact_arithmetic():
        for block in blocks(len(indices)):
            chosen = indices[block.start : block.stop].tolist()
            images = data.batch(split, chosen, model.device)[0]
            if draws:
                noise = IndexedNoise(stable_hash("codes", split), chosen, model.device)
                codes.append(model.posterior(images).sample(noise, "z", (latent_width(model),)).float().cpu())
            else:
                codes.append((model.hidden_layer(images) if hidden else model.encode(images)).float().cpu())
    require_finite(f"{type(model).__name__}: some of its codes", table := torch.cat(codes))
    return table.numpy()


def latent_width(model: Any) -> int:
    """Length D of what ``encode`` returns for an image."""
    return sum(math.prod(shape) for shape in model.latent_shapes.values())


def untrained(model: GenerativeModel, data: ImageDataModule, seed: int) -> GenerativeModel:
    """A network of the same class and hyperparameters with the weights that training with this seed might have started from."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stable_hash("untrained", seed) >> 1)
        fresh: GenerativeModel = type(model)(**model.hyperparameters).to(model.device)
        count = min(BLOCK, data.split_size("train"))
        with torch.no_grad():
            noise = IndexedNoise(stable_hash("untrained", seed), range(count), model.device)
            fresh.initialize_from_data(data.batch("train", range(count), model.device), noise)
    return fresh.eval()


def starting_point(model: GenerativeModel, weights: Weights = "ema") -> GenerativeModel:
    """A copy of a model to train further, from its averaged weights, where there are any, or its live ones."""
    start = copy.deepcopy(model)
    if start.ema is not None and weights == "ema":
        for name, average in start.ema.items():
            getattr(start, name).load_state_dict(average.state_dict())
    start.ema = None
    return start
