r"""The Fréchet distance between Gaussians (Dowson & Landau, 1982), as Heusel et al. (2017, arXiv:1706.08500) use it on network features.

All routes compute the nuclear norm :math:`|A B^\top|_*` of any factors with :math:`\Sigma = A^\top A`, :math:`\Sigma_r = B^\top B`. It is
the trace of the root of :math:`\Sigma \Sigma_r`, which is never formed: that product is not symmetric, its root loses half of the digits
and may come out complex.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from lightning_gen.errors import UserError
from lightning_gen.noise import philox


@dataclass(frozen=True, eq=False)
class GaussianStatistics:
    """What the distance needs to know of a set of feature vectors: the covariance, or the vectors themselves when they are few.

    Args:
        count: number of vectors N.
        mean: ``(d,)`` float64.
        covariance: ``(d, d)`` float64, unbiased (divided by N - 1); may be left out when there are ``rows`` or a ``root``.
        root: the symmetric root of the covariance, ``(d, d)`` float64, when it is known already.
        rows: the vectors, ``(N, d)``, when N <= d: then N x N matrices do instead of d x d.

    Raises:
        UserError: neither covariance nor rows, or shapes that do not fit.
    """

    count: int
    mean: Tensor
    covariance: Tensor | None = None
    root: Tensor | None = None
    rows: Tensor | None = None

    def __post_init__(self) -> None:
        size = self.mean.numel()
        if self.covariance is None and self.rows is None and self.root is None:
            raise UserError("statistics: expected a covariance, its root, or rows, got none of them")
        expected = {"mean": (size,), "covariance": (size, size), "root": (size, size), "rows": (self.count, size)}
        for name, shape in expected.items():
            value = getattr(self, name)
            if value is not None and tuple(value.shape) != shape:
                raise UserError(f"statistics: {name} has the shape {list(value.shape)}, expected {list(shape)}")

    @classmethod
    def of_rows(cls, rows: Tensor) -> GaussianStatistics:
        """The statistics of feature vectors ``(N, d)`` in memory, N >= 2, which are kept when N <= d."""
        count, size = rows.shape
        if count < 2:
            raise UserError(f"statistics: expected at least 2 feature vectors, got {count}")
        rows = rows.to(torch.float64)
        few = cls(count, rows.mean(0), rows=rows)
        return few if count <= size else cls(count, few.mean, few.covariance_matrix())

    @property
    def num_features(self) -> int:
        """d."""
        return len(self.mean)

    @property
    def trace(self) -> Tensor:
        """The trace of the covariance."""
        if self.covariance is not None:
            return self.covariance.trace()
        return (self.factor() if self.rows is not None else self.symmetric_root()).square().sum()

    def factor(self) -> Tensor:
        r"""A of :math:`\Sigma = A^\top A` from the rows: centred and divided by :math:`\sqrt{N - 1}`, ``(N, d)`` float64."""
        assert self.rows is not None
        return self.rows.to(torch.float64, copy=True).sub_(self.mean).div_(max(self.count - 1, 1) ** 0.5)

    def covariance_matrix(self) -> Tensor:
        """The covariance ``(d, d)``, from the rows or the root where it is not stored."""
        if self.covariance is not None:
            return self.covariance
        return _gram(self.factor().T if self.rows is not None else self.symmetric_root())

    def symmetric_root(self) -> Tensor:
        """The symmetric root of the covariance, ``(d, d)``: as given, else computed once and kept."""
        return self._root if self.root is None else self.root

    @cached_property
    def _root(self) -> Tensor:
        return symmetric_root(self.covariance_matrix())


def symmetric_root(matrix: Tensor) -> Tensor:
    """The symmetric square root of a positive semi-definite matrix, float64.

    Eigenvalues below the rounding error of the largest count as zero: the root of such noise would be far larger than the noise.
    """
    values, vectors = torch.linalg.eigh(matrix)
    noise = torch.finfo(values.dtype).eps * len(values) * values[-1:].clamp(min=0)
    vectors *= torch.where(values > noise, values, 0).pow_(0.25)
    return _gram(vectors)


def frechet_distance(samples: GaussianStatistics, reference: GaussianStatistics, exact: bool = False) -> float:
    r"""Squared Fréchet (2-Wasserstein) distance of two Gaussians, in float64.

    .. math:: |\mu - \mu_r|^2 + \mathrm{tr}\,\Sigma + \mathrm{tr}\,\Sigma_r - 2\,\mathrm{tr}(\Sigma_r^{1/2} \Sigma \Sigma_r^{1/2})^{1/2}

    The last trace comes from the cheapest of: the singular values of the N x N cross product when both sides have their rows, the
    eigenvalues of an N x N matrix when one has, else those of the symmetric matrix above, with whichever root is known.

    Args:
        samples, reference: statistics of the same features; the distance is symmetric.
        exact: always by singular values, which keep all digits where a matrix is nearly singular; several times slower.

    Raises:
        UserError: different numbers of features, or statistics that are not finite.
    """
    if samples.num_features != reference.num_features:
        raise UserError(f"samples: have {samples.num_features} features, the reference has {reference.num_features}; use one extractor")
    for name, side in (("samples", samples), ("reference", reference)):
        # A sum is finite only if all of it is, and takes a tenth of the time.
        if not all(bool(value.sum().isfinite()) for value in (side.mean, side.covariance, side.root, side.rows) if value is not None):
            raise UserError(f"{name}: the feature statistics are not finite; an image or the network gave NaN or infinity")
    shift = (samples.mean - reference.mean).square().sum()
    norm = _by_singular_values(samples, reference) if exact else _nuclear_norm(samples, reference)
    return float(shift + samples.trace + reference.trace - 2 * norm)


def debiased_distance(features: Tensor, reference: GaussianStatistics) -> float:
    r"""The distance of few feature vectors ``(N, d)`` without the 1/N term of its bias (Richardson's extrapolation).

    .. math:: 2\,\mathrm{FD}_N - \tfrac12 (\mathrm{FD}_{N/2}^{first} + \mathrm{FD}_{N/2}^{second})

    The halves are drawn at random by index: samples whose classes come in turn would give halves of different classes. It estimates the
    distance at N = infinity, may be negative, and is noisier than :func:`frechet_distance`; for use during training only.

    Raises:
        UserError: fewer than 4 vectors, or as :func:`frechet_distance`.
    """
    if len(features) < 4:
        raise UserError(f"features: expected at least 4 feature vectors for a debiased distance, got {len(features)}")
    order = torch.from_numpy(philox("evaluation", "halves").permutation(len(features)))
    parts = (features, *(features[half] for half in order.tensor_split(2)))
    whole, first, second = (frechet_distance(GaussianStatistics.of_rows(part), reference) for part in parts)
    return 2 * whole - (first + second) / 2


def _nuclear_norm(x: GaussianStatistics, y: GaussianStatistics) -> Tensor:
    if x.rows is not None and y.rows is not None:
        return _by_singular_values(x, y)
    if x.rows is not None or y.rows is not None:
        few, many = (x, y) if x.rows is not None else (y, x)
        factor = few.factor()
        if many.root is not None:
            factor = factor @ many.root
            return _root_trace(_lower_product(factor, factor.T), rank=few.count - 1)
        return _root_trace(_lower_product(factor @ many.covariance_matrix(), factor.T), rank=few.count - 1)
    known, other = (x, y) if x.root is not None and y.root is None else (y, x)
    root = known.symmetric_root()
    return _root_trace(_congruence(root, other.covariance_matrix()))


def _by_singular_values(x: GaussianStatistics, y: GaussianStatistics) -> Tensor:
    left, right = (side.symmetric_root() if side.rows is None else side.factor() for side in (x, y))
    return torch.linalg.svdvals(left @ right.T).sum()


def _root_trace(symmetric: Tensor, rank: int | None = None) -> Tensor:
    """The trace of the root of a positive semi-definite matrix, of which only the lower triangle is read.

    Centred rows add up to zero, so that their matrix has one rank less than there are rows: its smallest eigenvalue is the rounding of a
    zero, of either sign, and the root of that would be far larger.
    """
    largest_first = torch.linalg.eigvalsh(symmetric).flip(0)
    return largest_first[:rank].clamp_(min=0).sqrt_().sum()


def _lower_product(a: Tensor, b: Tensor, size: int = 256) -> Tensor:
    """The lower triangle of ``a @ b`` in block rows, for about half of the work; what is above it is undefined."""
    product = a.new_zeros(len(a), b.shape[1])
    for start in range(0, len(a), size):
        stop = start + size
        torch.mm(a[start:stop], b[:, :stop], out=product[start:stop, :stop])
    return product


def _congruence(root: Tensor, covariance: Tensor, size: int = 128) -> Tensor:
    """The lower triangle of ``root @ covariance @ root`` in block rows, never the first product as a whole; what is above is undefined."""
    product = torch.zeros_like(root)
    for start in range(0, len(root), size):
        stop = start + size
        torch.mm(root[start:stop] @ covariance, root[:, :stop], out=product[start:stop, :stop])
    return product


def _gram(a: Tensor) -> Tensor:
    """``a @ a.T``, exactly symmetric."""
    lower = _lower_product(a, a.T).tril_()
    return lower.add_(lower.tril(-1).T)
