r"""Learned mixtures of the channels: the invertible 1x1 convolution of Glow (Kingma & Dhariwal, 2018, arXiv:1807.03039, Section 3.2).

Both forms of the paper: the matrix as it is, and by its LU decomposition. Of vectors, the same matrix mixes their numbers.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from lightning_gen.bijections.base import Bijection, wide
from lightning_gen.noise import Noise, philox


class ChannelMixing(Bijection):
    r"""One matrix for every pixel, :math:`z_{:ij} = W x_{:ij}`, :math:`\log|\det| = HW \log|\det W|`; subclasses say what W is.

    :math:`W^{-1}` is kept from one call without gradients to the next, until a parameter changes: sampling solves for it once. A forward
    pass with gradients forgets it too, since fused optimisers change parameters behind their version counters.
    """

    def __init__(self) -> None:
        super().__init__()
        self._kept: tuple[tuple[Any, ...], Tensor] | None = None

    def matrix(self) -> Tensor:
        """W, ``(C, C)``: row i says what z's channel i is made of."""
        raise NotImplementedError(f"{type(self).__name__} has to implement matrix")

    def log_volume(self) -> Tensor:
        """log|det W|, a number."""
        raise NotImplementedError(f"{type(self).__name__} has to implement log_volume")

    def forward(self, x: Tensor, context: Tensor | None = None, noise: Noise | None = None) -> tuple[Tensor, Tensor]:
        if torch.is_grad_enabled():
            self._kept = None
        log_det = self.log_volume().to(wide(x)) * x[0, 0].numel()
        return mixed(self.matrix(), x), log_det.expand(len(x))

    def inverse(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        return mixed(self.inverse_matrix(), z)

    def inverse_matrix(self) -> Tensor:
        """W^-1, solved for in float64; kept where no gradient is asked for."""
        tensors = [*self.parameters(), *self.buffers()]
        if torch.is_grad_enabled() or any(tensor.is_inference() for tensor in tensors):  # those have no version counter
            return solved(self.matrix())
        state = tuple((tensor, tensor._version, tensor.data_ptr()) for tensor in tensors)
        if self._kept is None or not same(self._kept[0], state):
            self._kept = state, solved(self.matrix())
        return self._kept[1]

    def _apply(self, *args: Any, **kwargs: Any) -> ChannelMixing:
        """What changes device and type does so behind the parameters' version counters."""
        self._kept = None
        return super()._apply(*args, **kwargs)

    def __getstate__(self) -> dict[str, Any]:
        """Copies and files go without what is kept."""
        return self.__dict__ | {"_kept": None}


class InvertibleConvolution(ChannelMixing):
    """The matrix itself is learned; its log-determinant costs O(C^3), in float64.

    Args:
        num_channels: C (numbers of a vector).
        *key: the start is a random orthogonal matrix, a function of this key.
    """

    def __init__(self, num_channels: int, *key: int | str) -> None:
        super().__init__()
        self.weight = nn.Parameter(orthogonal(num_channels, *key).to(torch.get_default_dtype()))

    def matrix(self) -> Tensor:
        return self.weight

    def log_volume(self) -> Tensor:
        return torch.linalg.slogdet(self.weight.double()).logabsdet


class LUConvolution(ChannelMixing):
    r"""The matrix by its factors, :math:`W = P L (U + \mathrm{diag}(s))`: the log-determinant is :math:`\sum \log|s|`.

    P and the signs of s stay as they are at the start; L, U and :math:`\log|s|` are learned.

    Args:
        num_channels: C (numbers of a vector).
        *key: the start is a random orthogonal matrix, a function of this key.
    """

    order: Tensor
    signs: Tensor

    def __init__(self, num_channels: int, *key: int | str) -> None:
        super().__init__()
        dtype = torch.get_default_dtype()
        permutation, lower, upper = torch.linalg.lu(orthogonal(num_channels, *key))
        # One matrix holds all that is learned: L below the diagonal, U above it, log|s| on it.
        factors = lower.tril(-1) + upper.triu(1) + torch.diag(upper.diagonal().abs().log())
        self.factors = nn.Parameter(factors.to(dtype))
        self.register_buffer("order", permutation.argmax(1))
        self.register_buffer("signs", upper.diagonal().sign().to(dtype))

    def matrix(self) -> Tensor:
        lower = self.factors.tril(-1) + torch.eye(len(self.factors), device=self.factors.device, dtype=self.factors.dtype)
        upper = self.factors.triu(1) + torch.diag(self.signs * self.factors.diagonal().exp())
        with torch.autocast(lower.device.type, enabled=False):
            return (lower @ upper)[self.order]

    def log_volume(self) -> Tensor:
        return self.factors.diagonal().sum()


def orthogonal(size: int, *key: int | str) -> Tensor:
    """A random orthogonal matrix, uniformly distributed over keys, in float64."""
    q, r = torch.linalg.qr(torch.from_numpy(philox("orthogonal", *key).standard_normal((size, size))))
    return q * r.diagonal().sign()


def mixed(matrix: Tensor, x: Tensor) -> Tensor:
    """The matrix times every pixel of x ``(B, C, H, W)``, or times x ``(B, C)``; in full precision, since an inverse has to undo it."""
    with torch.autocast(x.device.type, enabled=False):
        return torch.einsum("ij,bj...->bi...", matrix.to(wide(x)), x.to(wide(x)))


def solved(matrix: Tensor) -> Tensor:
    """The inverse of a matrix, by way of float64."""
    return torch.linalg.inv(matrix.double()).to(matrix.dtype)


def same(one: tuple[Any, ...], other: tuple[Any, ...]) -> bool:
    """Whether two states are of the same tensors with the same content: an id alone could be a new tensor's at an old one's place."""
    return len(one) == len(other) and all(a[0] is b[0] and a[1:] == b[1:] for a, b in zip(one, other, strict=True))
