r"""The Fréchet distance between Gaussians (Dowson & Landau, 1982), as Heusel et al. (2017, arXiv:1706.08500) use it on network features."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class GaussianStatistics:
    """What the distance needs to know of a set of feature vectors.

    Args:
        count: number of vectors N.
        mean: ``(d,)`` float64.
        covariance: ``(d, d)`` float64, unbiased (divided by N - 1).
    """

    count: int
    mean: Tensor
    covariance: Tensor


def symmetric_root(matrix: Tensor) -> Tensor:
    """The symmetric square root of a positive semi-definite matrix, float64."""
    values, vectors = torch.linalg.eigh(matrix)
    return (vectors * values.clamp(min=0).sqrt()) @ vectors.T


def frechet_distance(samples: GaussianStatistics, reference: GaussianStatistics) -> float:
    r"""Squared Fréchet (2-Wasserstein) distance of two Gaussians, in float64.

    .. math:: |\mu - \mu_r|^2 + \mathrm{tr}\,\Sigma + \mathrm{tr}\,\Sigma_r - 2\,\mathrm{tr}(\Sigma_r^{1/2} \Sigma \Sigma_r^{1/2})^{1/2}

    The root is taken of a symmetric matrix, whose eigenvalues are real; the usual route through the root of
    :math:`\Sigma \Sigma_r` loses half of the digits and may come out complex.
    """
    root = symmetric_root(reference.covariance)
    eigenvalues = torch.linalg.eigvalsh(root @ samples.covariance @ root)
    shift = (samples.mean - reference.mean).square().sum()
    traces = samples.covariance.trace() + reference.covariance.trace()
    return float(shift + traces - 2 * eigenvalues.clamp(min=0).sqrt().sum())
