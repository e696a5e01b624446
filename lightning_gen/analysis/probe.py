"""What a simple reader finds in the codes: accuracy of the nearest neighbour, of a linear classifier, and of one with few labels.

Each by itself says little: raw pixels do well on small digits, and so does a network that was never trained, which is why both stand
beside the encoder.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from lightning_gen.analysis.representations import (
    choose_images,
    codes_of,
    labels_of,
    pixels_of,
    require_classes,
    require_encoder,
    untrained,
)
from lightning_gen.data.base import ImageDataModule
from lightning_gen.errors import UserError
from lightning_gen.metrics.neighbours import nearest_neighbours
from lightning_gen.models.base import GenerativeModel, Weights
from lightning_gen.models.capabilities import HasHiddenLayer
from lightning_gen.noise import philox

PER_CLASS = 10
"""Labels of each class for the classifier with few labels."""
DRAWS = 10
"""Times that they are drawn."""
CLASSIFIER = {"name": "logistic regression", "features": "standardised by training images", "C": 1.0, "solver": "lbfgs", "max_iter": 300}


@dataclass(frozen=True)
class LabelledCodes:
    """Codes ``(N, D)`` and labels ``(N,)`` to learn from, and others to be judged by."""

    train: np.ndarray
    train_labels: np.ndarray
    test: np.ndarray
    test_labels: np.ndarray


def probe(
    model: GenerativeModel, data: ImageDataModule, split: str = "test", num_images: int = 10_000, seed: int = 0, weights: Weights = "ema"
) -> dict[str, dict[str, Any]]:
    """The accuracies on a split of what is learned from training images, for the encoder, the same network untrained, and raw pixels.

    Where a model shows its encoder's last hidden layer, that is probed too.

    Args:
        model: one with latents that is given no labels.
        data: with class labels.
        split: whose images are classified, all of them.
        num_images: training images to learn from.
        seed: keys which training images, the draws of few labels, and the untrained network.
        weights: averaged ones, where there are any, or live ones.

    Raises:
        UserError: the model has no encoder or is conditional, its codes are not finite, or there are too few classes or images.
    """
    require_encoder(model, "probe")
    require_classes(data, "probe")
    chosen, judged = choose_images(data, "train", num_images, seed), choose_images(data, split, None, seed)
    labels = labels_of(data, "train", chosen), labels_of(data, split, judged)
    require_enough(labels[0])
    fresh = untrained(model, data, seed)
    places = ("train", chosen), (split, judged)
    sources = {
        "encoder": [codes_of(model, data, *place, weights) for place in places],
        "untrained encoder": [codes_of(fresh, data, *place) for place in places],
    }
    if isinstance(model, HasHiddenLayer):
        sources["last hidden layer"] = [codes_of(model, data, *place, weights, hidden=True) for place in places]
        sources["untrained last hidden layer"] = [codes_of(fresh, data, *place, hidden=True) for place in places]
    sources["raw pixels"] = [pixels_of(data, *place) for place in places]
    return {name: accuracies(LabelledCodes(train, labels[0], test, labels[1]), seed) for name, (train, test) in sources.items()}


def require_enough(labels: np.ndarray) -> None:
    """Refuse training images ``(N,)`` that are of one class, or among which some class has too few for the classifier with few labels."""
    kept, counts = np.unique(labels, return_counts=True)
    if len(kept) < 2 or counts.min() < PER_CLASS:
        rarest = f"{counts.min()} of class {kept[counts.argmin()]}"
        raise UserError(f"num_images: expected {PER_CLASS} of each of at least 2 classes, but of {len(labels)} training images {rarest}")


def accuracies(codes: LabelledCodes, seed: int = 0) -> dict[str, Any]:
    """Every probe's accuracy in [0, 1]; ``few`` is the mean over draws of the labels, ``few_spread`` the standard deviation over them."""
    linear, converged = linear_accuracy(codes)
    few = few_label_accuracies(codes, seed)
    return {
        "nearest": nearest_accuracy(codes),
        "linear": linear,
        "linear_converged": converged,
        "few": float(np.mean(few)),
        "few_spread": float(np.std(few, ddof=1)),
        "features": codes.train.shape[1],
    }


def nearest_accuracy(codes: LabelledCodes) -> float:
    """The share of codes whose nearest training code (Euclidean, unscaled) has the same label."""
    _, nearest = nearest_neighbours(codes.test, codes.train, 1)
    return float((codes.train_labels[nearest[:, 0]] == codes.test_labels).mean())


def linear_accuracy(codes: LabelledCodes) -> tuple[float, bool]:
    """The accuracy of logistic regression on standardised codes, and whether it converged within the iterations."""
    scaler = StandardScaler().fit(codes.train)
    return _classify(scaler.transform(codes.train), codes.train_labels, scaler.transform(codes.test), codes.test_labels)


def few_label_accuracies(codes: LabelledCodes, seed: int = 0) -> list[float]:
    """The accuracy when only so many images of each class are labelled, for every draw of them; the others serve to standardise."""
    scaler = StandardScaler().fit(codes.train)
    train, test = scaler.transform(codes.train), scaler.transform(codes.test)
    found = []
    for draw in range(DRAWS):
        rows = balanced(codes.train_labels, PER_CLASS * len(np.unique(codes.train_labels)), philox("few labels", seed, draw))
        found.append(_classify(train[rows], codes.train_labels[rows], test, codes.test_labels)[0])
    return found


def balanced(labels: np.ndarray, count: int, random: np.random.Generator) -> np.ndarray:
    """Indices of ``count`` images, equally many of each class that occurs (the first ones get one more where that does not divide).

    Raises:
        UserError: a class has too few images, or would get none.
    """
    classes = np.unique(labels)
    if count < len(classes):
        raise UserError(f"labels: expected at least one for each of the {len(classes)} classes, got {count}")
    rows = []
    for place, label in enumerate(classes):
        wanted = count // len(classes) + (place < count % len(classes))
        members = np.flatnonzero(labels == label)
        if len(members) < wanted:
            raise UserError(f"labels: class {label} has {len(members)} training images; expected at least {wanted}")
        rows.append(random.permutation(members)[:wanted])
    return np.concatenate(rows)


def _classify(train: np.ndarray, train_labels: np.ndarray, test: np.ndarray, test_labels: np.ndarray) -> tuple[float, bool]:
    classifier = LogisticRegression(**{key: CLASSIFIER[key] for key in ("C", "solver", "max_iter")})
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        classifier.fit(train, train_labels)
    converged = not any(issubclass(warning.category, ConvergenceWarning) for warning in caught)
    return float(classifier.score(test, test_labels)), converged
