r"""Pictures of one shape whose five factors of variation are known: what disentanglement is measured on. Rendered, nothing to download.

In the manner of dSprites (Matthey et al., 2017), smaller: 3 shapes x 4 sizes x 8 rotations x 8 x 8 positions, every combination once.
A shape is rotated within the angle after which it looks the same again, so that no two combinations give the same picture.
"""

from __future__ import annotations

from functools import cache
from itertools import product

import numpy as np

from lightning_gen.data.base import ImageDataModule
from lightning_gen.noise import philox

FACTORS = {"shape": 3, "size": 4, "rotation": 8, "x": 8, "y": 8}
"""Name -> number of values, in the order of the columns of :meth:`Factors.factors`."""

IMAGE_SIZE = 32
OVERSAMPLING = 4
"""Points a side at which a pixel is looked at: its grey is the share of them that lie inside of the shape."""
RADII = (5.0, 6.0, 7.0, 8.0)
"""Pixels from the centre to the farthest point of the shape."""
STRIDE = 2
"""Pixels between positions."""
HELD_OUT = 1024
"""Images of the validation split and of the test split, each."""


def inside_square(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """The square with corners on the unit circle."""
    return np.maximum(abs(u), abs(v)) <= np.sqrt(0.5)


def inside_ellipse(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """The ellipse with half-axes 1 and 0.5."""
    return u**2 + (2 * v) ** 2 <= 1


def inside_triangle(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """The isosceles triangle with its apex at (1, 0) and its base between (-0.8, ±0.6), all on the unit circle."""
    return (u >= -0.8) & (abs(v) <= (1 - u) / 3)


SHAPES = ((inside_square, np.pi / 2), (inside_ellipse, np.pi), (inside_triangle, 2 * np.pi))
"""Inside of what in the unit circle, and the angle after which it looks the same."""


def render(shape: int, size: int, rotation: int, x: int, y: int) -> np.ndarray:
    """One picture by its factors: uint8 ``(32, 32)``, white on black."""
    inside, period = SHAPES[shape]
    angle = period * rotation / FACTORS["rotation"]
    grid = (np.arange(IMAGE_SIZE * OVERSAMPLING) + 0.5) / OVERSAMPLING
    right, down = (grid - centre(place) for place in (x, y))
    cosine, sine = np.cos(angle) / RADII[size], np.sin(angle) / RADII[size]
    u = cosine * right[None, :] + sine * down[:, None]
    v = -sine * right[None, :] + cosine * down[:, None]
    share = inside(u, v).reshape(IMAGE_SIZE, OVERSAMPLING, IMAGE_SIZE, OVERSAMPLING).mean(axis=(1, 3))
    return np.round(255 * share).astype(np.uint8)


def centre(place: int) -> float:
    """Pixels from the edge to the centre of a shape at one of the 8 places of a row or column."""
    return IMAGE_SIZE / 2 + STRIDE * (place - (FACTORS["x"] - 1) / 2)


@cache
def all_combinations() -> tuple[np.ndarray, np.ndarray]:
    """Every picture and its factors: uint8 ``(6144, 1, 32, 32)`` and int64 ``(6144, 5)``."""
    factors = np.array([*product(*map(range, FACTORS.values()))])
    pictures = np.empty((len(factors), 1, IMAGE_SIZE, IMAGE_SIZE), np.uint8)
    middle = FACTORS["x"] // 2
    for shape, size, rotation in product(*map(range, (FACTORS["shape"], FACTORS["size"], FACTORS["rotation"]))):
        # Positions are whole pixels, so a picture elsewhere is the same one shifted.
        picture = render(shape, size, rotation, middle, middle)
        chosen = np.flatnonzero((factors[:, :3] == (shape, size, rotation)).all(axis=1))
        for index in chosen:
            shift = STRIDE * (factors[index, [4, 3]] - middle)
            pictures[index, 0] = np.roll(picture, shift, axis=(0, 1))
    return pictures, factors


class Factors(ImageDataModule):
    """32x32 grey pictures of a square, an ellipse or a triangle in 4 sizes, 8 rotations and 8x8 positions; the label is the shape.

    All 6144 combinations, shuffled for good: 4096 train, 1024 validate, 1024 test.
    """

    name = "factors"
    summary = "32x32 pictures of shapes with five known factors of variation, 6144 images, rendered"
    data_shape = (1, IMAGE_SIZE, IMAGE_SIZE)
    num_classes = FACTORS["shape"]
    extractors = ()
    metrics = ()

    def load(self, split: str) -> tuple[np.ndarray, np.ndarray]:
        images, factors = all_combinations()
        part = self._part(split)
        return images[part], factors[part, 0]

    def factors(self, split: str) -> np.ndarray:
        """The values of :data:`FACTORS` of each image of a split: int64 ``(N, 5)``, in the order of its images."""
        chosen = all_combinations()[1][self._part(split)]
        return chosen if self.only_classes is None else chosen[np.isin(chosen[:, 0], self.only_classes)]

    def _part(self, split: str) -> np.ndarray:
        order = philox("factors", "split").permutation(len(all_combinations()[1]))
        return {"validation": order[:HELD_OUT], "test": order[HELD_OUT : 2 * HELD_OUT], "train": order[2 * HELD_OUT :]}[split]
