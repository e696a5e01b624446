r"""Fidelity and diversity apart from each other, by balls around each image that reach to its k-th neighbour.

Precision and recall (Kynkäänniemi et al., 2019, arXiv:1904.06991) with closed balls, as torch-fidelity; density and coverage (Naeem et al.,
2020, arXiv:2002.09797) with open balls, as the authors' package prdc.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lightning_gen.errors import UserError
from lightning_gen.metrics.neighbours import ExactDistances
from lightning_gen.metrics.rows import Rows, check_tables


@dataclass(frozen=True)
class ManifoldScores:
    """Shares in [0, 1], density aside; higher is better.

    Args:
        precision: of the samples, inside the ball of some real image.
        recall: of the real images, inside the ball of some sample.
        density: the mean number of real balls around a sample, divided by k; 1 when the sets have one distribution, may be larger.
        coverage: of the real images, with a sample inside their own ball.
    """

    precision: float
    recall: float
    density: float
    coverage: float


def manifold_scores(samples: Rows, real: Rows, k: int = 3, k_density: int = 5) -> ManifoldScores:
    """Precision, recall, density and coverage from one pass over all pairs, by blocks.

    Args:
        samples: features of generated images, ``(N, d)``.
        real: features of real images, ``(M, d)``.
        k: neighbour that sets the radius of the balls for precision and recall.
        k_density: the same for density and coverage.

    Raises:
        UserError: a set has no k-th neighbours, different numbers of features, or values that are not finite.
    """
    if min(k, k_density) < 1:
        raise UserError(f"k, k_density: expected at least 1, got {k}, {k_density}")
    check_tables(samples, real, max(k, k_density) + 1)
    exact = ExactDistances(samples=samples, real=real)
    radius, open_radius = exact.to_neighbours(real, max(k, k_density)).numpy().T[[k - 1, k_density - 1]]
    sample_radius = exact.to_neighbours(samples, k).numpy()[:, k - 1]
    precise, recalled, covered = (np.zeros(count, dtype=bool) for count in (len(samples), len(real), len(real)))
    balls = 0
    for place, x in exact.blocks(samples):
        for other, y in exact.blocks(real):
            distances = exact.between(x, y).numpy()
            precise[place] |= (distances <= radius[other]).any(1)
            recalled[other] |= (distances <= sample_radius[place, None]).any(0)
            inside = distances < open_radius[other]
            covered[other] |= inside.any(0)
            balls += int(np.count_nonzero(inside))
    shares = [float(flags.mean()) for flags in (precise, recalled, covered)]
    return ManifoldScores(shares[0], shares[1], balls / (k_density * len(samples)), shares[2])
