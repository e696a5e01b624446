"""Densities in one and two dimensions, to see what a model learns: float32 vectors, generated."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from lightning_gen.data.base import ImageDataModule
from lightning_gen.errors import UserError, did_you_mean
from lightning_gen.noise import philox

SIZES = {"train": 50_000, "validation": 10_000, "test": 10_000}


def two_gaussians(random: np.random.Generator, count: int) -> np.ndarray:
    """Equal Gaussians at -2 and 2 with standard deviation 0.5: ``(N, 1)``."""
    return gaussian_mixture(random, count, weights=[0.5, 0.5], means=[-2.0, 2.0], stds=[0.5, 0.5])


def three_gaussians(random: np.random.Generator, count: int) -> np.ndarray:
    """Gaussians of unequal weight and width at -3, 0 and 2: ``(N, 1)``."""
    return gaussian_mixture(random, count, weights=[0.2, 0.5, 0.3], means=[-3.0, 0.0, 2.0], stds=[0.3, 0.6, 0.2])


def gaussian_mixture(random: np.random.Generator, count: int, weights: list[float], means: list[float], stds: list[float]) -> np.ndarray:
    """Draws of a mixture of Gaussians on the line: ``(N, 1)``."""
    component = random.choice(len(weights), size=count, p=weights)
    return (np.array(means)[component] + np.array(stds)[component] * random.standard_normal(count))[:, None]


def two_moons(random: np.random.Generator, count: int) -> np.ndarray:
    """Two interleaved half circles of radius 1 with noise 0.1, centred: ``(N, 2)``."""
    angle = np.pi * random.random(count)
    lower = random.random(count) < 0.5
    x = np.where(lower, 1 - np.cos(angle), np.cos(angle)) - 0.5
    y = np.where(lower, 0.5 - np.sin(angle), np.sin(angle)) - 0.25
    return np.stack([x, y], axis=1) + 0.1 * random.standard_normal((count, 2))


def eight_gaussians(random: np.random.Generator, count: int) -> np.ndarray:
    """Eight Gaussians of standard deviation 0.2 on a circle of radius 2: ``(N, 2)``."""
    angle = random.integers(8, size=count) * (np.pi / 4)
    return 2 * np.stack([np.cos(angle), np.sin(angle)], axis=1) + 0.2 * random.standard_normal((count, 2))


def checkerboard(random: np.random.Generator, count: int) -> np.ndarray:
    """Uniform on the black squares of a 4x4 board over [-2, 2)²: ``(N, 2)``."""
    column = random.integers(4, size=count)
    row = 2 * random.integers(2, size=count) + column % 2
    return np.stack([column, row], axis=1) - 2 + random.random((count, 2))


def spirals(random: np.random.Generator, count: int) -> np.ndarray:
    """Two spiral arms of one and a half turns with noise 0.05, out to radius 2: ``(N, 2)``."""
    # The root spreads the points evenly along the arms.
    turn = np.sqrt(random.random(count))
    sign = random.choice([-1.0, 1.0], size=count)
    arm = 2 * turn * np.stack([np.cos(3 * np.pi * turn), np.sin(3 * np.pi * turn)]) * sign
    return arm.T + 0.05 * random.standard_normal((count, 2))


DENSITIES: dict[str, tuple[int, Callable[[np.random.Generator, int], np.ndarray]]] = {
    "two_gaussians": (1, two_gaussians),
    "three_gaussians": (1, three_gaussians),
    "two_moons": (2, two_moons),
    "eight_gaussians": (2, eight_gaussians),
    "checkerboard": (2, checkerboard),
    "spirals": (2, spirals),
}


class ToyDensity(ImageDataModule):
    """Draws from a known density on the line or in the plane: 50,000 train, 10,000 validate, 10,000 test; always the same ones.

    Args:
        density: two_gaussians or three_gaussians (1-D); two_moons, eight_gaussians, checkerboard or spirals (2-D).
        batch_size: vectors per training step over all processes; the number of processes has to divide it.
        seed: keys the training order.
        root: folder for data; nothing is stored there, since the draws are generated.
    """

    summary = "float32 vectors from known 1-D and 2-D densities, generated"

    def __init__(self, density: str, batch_size: int, seed: int = 0, root: str | None = None) -> None:
        super().__init__(batch_size=batch_size, seed=seed, root=root)
        if density not in DENSITIES:
            raise UserError(f"data.density: unknown value {density!r}; {did_you_mean(density, DENSITIES)}")
        self.density = density
        self.name = density
        self.data_shape = (DENSITIES[density][0],)

    def load(self, split: str) -> tuple[np.ndarray, None]:
        _, draw = DENSITIES[self.density]
        return draw(philox("density", self.density, split), SIZES[split]).astype(np.float32), None
