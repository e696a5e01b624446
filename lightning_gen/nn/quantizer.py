r"""Vector quantisation with a codebook that follows the vectors it quantises (van den Oord et al., 2017, arXiv:1711.00937, Appendix A.1).

Every sum over vectors is a sum over all processes, taken before the codebook moves, so that each process holds the same codebook and two
processes hold the one that a single process would have. Not in the paper: codes that nobody uses are moved to vectors of the batch, as
in Jukebox (Dhariwal et al., 2020, arXiv:2005.00341).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from lightning_gen.distributed import global_sum, rank, world_size

SMALLEST_COUNT = 1e-6
"""Below this average use a code that is not restarted stays where it is: the quotient of its sums would be rounding alone."""


class VectorQuantizer(nn.Module):
    r"""Replaces vectors by the nearest of K codes, which are running means of the vectors that they replaced.

    .. math::
        N_k \leftarrow \gamma N_k + (1 - \gamma)\, n_k, \qquad m_k \leftarrow \gamma m_k + (1 - \gamma) \sum_{i: k(i) = k} z_i, \qquad
        e_k = m_k / N_k

    Args:
        num_codes: K.
        code_dim: length D of a code.
        decay: γ, per batch.
        restart_below: a code whose running count is below this share of the average count is moved to a vector of the batch; 0 for never.
    """

    codebook: Tensor
    """e, ``(K, D)``."""
    counts: Tensor
    """N: running uses per global batch, ``(K,)``."""
    sums: Tensor
    """m: running sums of the vectors, ``(K, D)``."""

    def __init__(self, num_codes: int, code_dim: int, decay: float, restart_below: float) -> None:
        super().__init__()
        self.decay = decay
        self.restart_below = restart_below
        self.register_buffer("codebook", torch.randn(num_codes, code_dim))
        self.register_buffer("counts", torch.ones(num_codes))
        self.register_buffer("sums", self.codebook.clone())

    def forward(self, vectors: Tensor) -> Tensor:
        """The number of the nearest code, ``(..., D) -> int64 (...)``."""
        with torch.no_grad():
            centre = self.codebook.mean(0)  # the distances are matrix products, in which a common offset would cancel
            return torch.cdist(vectors.flatten(0, -2) - centre, self.codebook - centre).argmin(-1).view(vectors.shape[:-1])

    def lookup(self, codes: Tensor) -> Tensor:
        """int64 ``(...)`` to the codes' vectors ``(..., D)``."""
        return self.codebook[codes]

    @torch.no_grad()
    def initialize(self, vectors: Tensor, u: Tensor) -> None:
        """Start the codebook as vectors of the global batch, each code with the average count.

        Args:
            vectors: this process's, ``(M, D)``; M is the same on every process.
            u: uniform draws that choose among them, ``(M,)``.
        """
        average = len(vectors) * world_size() / len(self.codebook)
        self.codebook.copy_(chosen_vectors(vectors, u, len(self.codebook)))
        self.counts.fill_(average)
        self.sums.copy_(self.codebook * average)

    @torch.no_grad()
    def update(self, vectors: Tensor, codes: Tensor, u: Tensor) -> Tensor:
        """Move the codebook after a batch; returns how often the global batch used each code, ``(K,)``.

        Args:
            vectors: this process's, ``(M, D)``; M is the same on every process.
            codes: what they were replaced by, ``(M,)``.
            u: uniform draws that choose among them where a code restarts, ``(M,)``.
        """
        used = one_hot(codes, len(self.codebook)).to(vectors)
        with torch.autocast(vectors.device.type, enabled=False):
            totals = global_sum(used.T @ torch.cat([torch.ones_like(vectors[:, :1]), vectors], dim=1))
        uses, sums = totals[:, 0], totals[:, 1:]
        self.counts.lerp_(uses, 1 - self.decay)
        self.sums.lerp_(sums, 1 - self.decay)
        moves = (self.counts > SMALLEST_COUNT).unsqueeze(1)
        self.codebook.copy_(torch.where(moves, self.sums / self.counts.unsqueeze(1), self.codebook))
        if self.restart_below:
            self._restart(vectors, u, uses.mean())
        return uses

    def _restart(self, vectors: Tensor, u: Tensor, average: Tensor) -> None:
        """Move codes that are hardly used to vectors of the global batch, and let each begin with the average count."""
        dead = self.counts < self.restart_below * average
        self.counts.copy_(torch.where(dead, average, self.counts))
        fresh = chosen_vectors(vectors, u, len(self.codebook))
        self.codebook.copy_(torch.where(dead.unsqueeze(1), fresh, self.codebook))
        self.sums.copy_(torch.where(dead.unsqueeze(1), fresh * average, self.sums))


def chosen_vectors(vectors: Tensor, u: Tensor, count: int) -> Tensor:
    """The ``count`` vectors of the global batch with the largest u, the same on every process; all of them in turn where there are fewer.

    Args:
        vectors: this process's, ``(M, D)``.
        u: uniform draws, ``(M,)``.
        count: how many are wanted.
    """
    each = len(vectors)
    priorities = u.new_zeros(world_size(), each)
    priorities[rank()] = u
    order = global_sum(priorities).flatten().argsort(descending=True, stable=True)
    chosen = order[torch.arange(count, device=u.device) % len(order)]
    ours = (chosen // each == rank()).unsqueeze(1)
    return global_sum(torch.where(ours, vectors[chosen % each], 0.0))


def perplexity(uses: Tensor) -> Tensor:
    r"""How many codes an equally varied choice would use: :math:`e^{H}` of the frequencies ``(K,)``, from 1 to K."""
    frequencies = uses.double() / uses.sum()
    return torch.special.entr(frequencies).sum().exp()
