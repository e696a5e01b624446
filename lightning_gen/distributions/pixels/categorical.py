r"""A probability for every level: the softmax of PixelRNN and PixelCNN (van den Oord et al., 2016, arXiv:1601.06759), and of codes."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lightning_gen.distributions.pixels.base import PixelDistribution, in_full_precision


class Categorical(PixelDistribution):
    r"""Any probabilities whatever: :math:`P(x_d = l) = \mathrm{softmax}(a_d)_l` over the :math:`2^n` levels; neighbours share nothing.

    Args:
        channels, num_bits: as for every :class:`PixelDistribution`.
    """

    def __init__(self, channels: int, num_bits: int) -> None:
        super().__init__(channels, num_bits)
        self.num_parameters = self.num_levels

    def log_prob(self, parameters: Tensor, levels: Tensor) -> Tensor:
        logits = in_full_precision(parameters).unflatten(1, (self.num_levels, self.groups))
        chosen = logits.gather(1, levels.unsqueeze(1)).squeeze(1)
        return (chosen - logits.logsumexp(1)).flatten(1).sum(1)

    def draw(self, parameters: Tensor, u: Tensor) -> Tensor:
        return draw_category(in_full_precision(parameters), u)


class CodeCategorical(Categorical):
    """The same of codes, which have no order: a network is given a learned vector for each.

    Args:
        num_codes: K.
        features: F, length of the vectors.
    """

    def __init__(self, num_codes: int, features: int) -> None:
        super().__init__(1, 8)
        self.num_levels = self.num_parameters = num_codes
        self.embedding = nn.Embedding(num_codes, features)

    @property
    def in_features(self) -> int:
        return self.embedding.embedding_dim

    def inputs(self, levels: Tensor) -> Tensor:
        return self.embedding(levels.squeeze(1)).movedim(-1, 1)


def draw_category(logits: Tensor, u: Tensor) -> Tensor:
    """Numbers from 0 to K - 1, int64 ``(..., n)``, by inversion, from logits ``(..., K)`` and uniform numbers in [0, 1), ``(..., n)``."""
    cumulative = logits.softmax(-1).cumsum(-1)
    # Rounding can leave the last sum below u, and then the last number would be drawn, however unlikely: so u is a share of that sum, just
    # below it at most, and the first number is drawn at which the sum is reached.
    total = cumulative[..., -1:]
    below = torch.minimum(u.to(cumulative) * total, torch.nextafter(total, torch.zeros_like(total)))
    return torch.searchsorted(cumulative, below.contiguous(), right=True)
