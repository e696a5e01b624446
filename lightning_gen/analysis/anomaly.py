r"""How well a model tells images of its own data from others: scores that are high for what it finds strange, and their AUROC.

From the likelihood: :math:`-\log p(x)` itself; the typicality :math:`|-\log p(x) - H|` with H the mean of :math:`-\log p` over training
images (Nalisnick et al., 2019, arXiv:1906.02994, for single images); and :math:`-\log p(x) - L(x)` with L the length of the losslessly
compressed image (Serrà et al., 2019, arXiv:1909.11480; PNG alone, where the paper takes the best of three formats). For a model that
reconstructs: the mean squared error. Beside them what needs no model: the distance to the nearest training image, and to their mean.
"""

from __future__ import annotations

import io
import math
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from lightning_gen.analysis.finite import require_finite, require_finite_weights
from lightning_gen.analysis.representations import choose_images, pixels_of
from lightning_gen.analysis.roc import auroc, difference_error, standard_error
from lightning_gen.data.base import ImageDataModule
from lightning_gen.errors import UserError
from lightning_gen.evaluation.arithmetic import exact_arithmetic
from lightning_gen.images import is_image
from lightning_gen.metrics.neighbours import nearest_neighbours
from lightning_gen.models.base import GenerativeModel, Weights
from lightning_gen.models.capabilities import SupportsLikelihood, SupportsReconstruction
from lightning_gen.noise import BLOCK, IndexedNoise, blocks, stable_hash

BASELINES = ("distance to the nearest training image", "distance to the mean training image")
CAVEAT = (
    "a likelihood can be higher on simpler data than on the model's own (Nalisnick et al. 2018, arXiv:1810.09136): an AUROC below 0.5 "
    "says that; read it beside the typicality and the complexity-corrected score"
)

Progress = Callable[[str, int, int], None]
Part = tuple[ImageDataModule, str, np.ndarray]
"""A data set, a split, and the indices of some of its images."""


def anomaly(
    model: GenerativeModel,
    data: ImageDataModule,
    against: ImageDataModule,
    *,
    split: str = "test",
    against_split: str = "test",
    num_images: int = 2000,
    train_images: int = 50_000,
    likelihood_samples: int = 16,
    seed: int = 0,
    weights: Weights = "ema",
    progress: Progress = lambda stage, done, total: None,
) -> dict[str, dict[str, Any]]:
    """Name of a score -> its AUROC, DeLong's standard error, and how far it lies above the better of the two distances between pixels.

    Args:
        model: one with a likelihood or reconstructions that is given no labels.
        data: what it was trained on.
        against: other images of the same shape and number of bits.
        split, against_split: whose images are told apart.
        num_images: at most so many of each, drawn by the seed.
        train_images: at most so many to look for the nearest one in.
        likelihood_samples: k, where the likelihood is a k-sample bound.
        seed: keys which images, and the noise of the likelihood.
        weights: averaged ones, where there are any, or live ones.
        progress: told of every block.

    Raises:
        UserError: the model has neither, the images do not fit, or a score is NaN or infinite.
    """
    require_scores(model)
    require_same_kind(data, against)
    normal = data, split, choose_images(data, split, num_images, seed)
    other = against, against_split, choose_images(against, against_split, num_images, seed)
    known = data, "train", choose_images(data, "train", train_images, seed)
    with torch.random.fork_rng(devices=[]), model.inference(weights), exact_arithmetic():
        require_finite_weights(model)
        scores = model_scores(model, normal, other, likelihood_samples, seed, progress)
    scores |= pixel_scores(normal, other, known)
    return compare(scores)


def require_scores(model: GenerativeModel) -> None:
    """Refuse a model that cannot judge an image, or not without its label."""
    name = type(model).__name__
    if not isinstance(model, SupportsLikelihood | SupportsReconstruction):
        raise UserError(f"anomaly: {name} has neither a likelihood nor reconstructions; expected a model with one of them")
    if model.conditional:
        raise UserError(f"anomaly: {name} judges an image given its label, which images of other data do not have; expected no labels")


def require_same_kind(data: ImageDataModule, against: ImageDataModule) -> None:
    """Refuse images of another shape, number of bits or binarization: the difference would give them away."""
    for key in ("data_shape", "num_bits", "binarization"):
        theirs, ours = getattr(against, key), getattr(data, key)
        if theirs != ours:
            raise UserError(f"--against {against.name}: expected {key} {ours}, as the model's data, got {theirs}")


def compare(scores: dict[str, tuple[np.ndarray, np.ndarray]]) -> dict[str, dict[str, Any]]:
    """AUROC of every (normal, anomalous) score, and its lead over the better baseline with DeLong's standard error of the difference."""
    for name, both in scores.items():
        require_finite(f"anomaly: some values of the {name}", np.concatenate(both))
    best = max(BASELINES, key=lambda name: auroc(*scores[name]))
    found: dict[str, dict[str, Any]] = {}
    for name, (normal, anomalous) in scores.items():
        found[name] = {"auroc": auroc(normal, anomalous), "standard_error": standard_error(normal, anomalous)}
        if name not in BASELINES:
            lead = found[name]["auroc"] - auroc(*scores[best])
            found[name] |= {"lead": lead, "lead_error": difference_error((normal, anomalous), scores[best]), "lead_over": best}
    return found


# Scores of single images, high for strange ones.


def model_scores(
    model: GenerativeModel, normal: Part, other: Part, num_samples: int, seed: int, progress: Progress
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Every score that the model has, for both kinds of images. Called within :meth:`GenerativeModel.inference`."""
    scores = {}
    if isinstance(model, SupportsLikelihood):
        data, _, indices = normal
        train = data, "train", choose_images(data, "train", len(indices), seed)
        parts = {"training images": train, "normal images": normal, "other images": other}
        losses = {name: negative_log_prob(model, part, num_samples, seed, name, progress) for name, part in parts.items()}
        entropy, ours, theirs = losses["training images"].mean(), losses["normal images"], losses["other images"]
        scores["negative log-likelihood"] = ours, theirs
        scores["typicality"] = abs(ours - entropy), abs(theirs - entropy)
        if is_image(data.data_shape):
            scores["complexity-corrected"] = ours - complexity(normal), theirs - complexity(other)
    if isinstance(model, SupportsReconstruction):
        scores["reconstruction error"] = reconstruction_error(model, normal), reconstruction_error(model, other)
    return scores


def negative_log_prob(model: Any, part: Part, num_samples: int, seed: int, stage: str, progress: Progress) -> np.ndarray:
    """-log p(x), or its bound with k samples, in nats, float64 ``(N,)``."""
    found = []
    for images, indices in _images(part, model.device):
        noise = IndexedNoise(stable_hash(seed, "anomaly", part[1]), indices, model.device)
        found.append(-model.log_prob(images, noise=noise, num_samples=num_samples).double().cpu())
        progress(stage, BLOCK * len(found), len(part[2]))
    return torch.cat(found).numpy()


def reconstruction_error(model: Any, part: Part) -> np.ndarray:
    """Mean squared difference of an image in [0, 1] (or a vector) and its reconstruction, ``(N,)``."""
    errors = torch.cat([(model.reconstruct(images).double() - images).square().cpu() for images, _ in _images(part, model.device)])
    # Sums of whole numbers are exact, so that equal errors stay equal.
    return errors.flatten(1).mean(1).numpy() / (255**2 if is_image(part[0].data_shape) else 1)


def complexity(part: Part) -> np.ndarray:
    """L(x): the length of each compressed image in nats, ``(N,)``."""
    return np.concatenate([[8 * math.log(2) * compressed_bytes(image) for image in images] for images, _ in _images(part, "cpu")])


def compressed_bytes(image: Tensor) -> int:
    """The size of a uint8 image ``(C, H, W)`` as PNG, or by zlib where it has neither one nor three channels."""
    if image.shape[0] not in (1, 3):
        return len(zlib.compress(image.numpy().tobytes(), level=9))
    pixels = image.permute(1, 2, 0).numpy()
    picture = Image.fromarray(pixels[..., 0] if image.shape[0] == 1 else pixels)
    file = io.BytesIO()
    picture.save(file, format="PNG", optimize=True)
    return len(file.getvalue())


def pixel_scores(normal: Part, other: Part, known: Part) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Euclidean distances between raw pixels: to the nearest of the known images, and to their mean."""
    table, ours, theirs = (pixels_of(*part) for part in (known, normal, other))
    nearest = [nearest_neighbours(images, table, 1)[0][:, 0] for images in (ours, theirs)]
    mean = table.mean(0, dtype=np.float64)
    central = [np.linalg.norm(images - mean, axis=1) for images in (ours, theirs)]
    return {BASELINES[0]: (nearest[0], nearest[1]), BASELINES[1]: (central[0], central[1])}


def _images(part: Part, device: torch.device | str) -> Any:
    """Blocks of 64 images of a part on a device, with their indices."""
    data, split, indices = part
    for block in blocks(len(indices)):
        chosen = indices[block.start : block.stop].tolist()
        yield data.batch(split, chosen, device)[0], chosen
