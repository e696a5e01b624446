"""Distributions of discrete codes: the priors of two-stage models."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from lightning_gen.distributions.pixels.categorical import draw_category
from lightning_gen.nn.base import LabelEmbedding, LabelKind
from lightning_gen.noise import Noise


class CodePrior(nn.Module):
    """A distribution of codes, int64 ``(B, *code_shape)`` in [0, K), trained by maximum likelihood.

    Args:
        code_shape: shape of the codes of one image, such as ``(8, 8)``.
        num_codes: K.
        labels: what the labels that condition it look like.
    """

    def __init__(self, code_shape: tuple[int, ...], num_codes: int, labels: LabelKind = LabelKind()) -> None:
        super().__init__()
        self.code_shape = tuple(code_shape)
        self.num_codes = num_codes

    def log_prob(self, codes: Tensor, labels: Tensor | None = None) -> Tensor:
        """log p(codes | labels) in nats, ``(B,)``, differentiable in the parameters."""
        raise NotImplementedError(f"{type(self).__name__} has to implement log_prob")

    def sample(self, noise: Noise, labels: Tensor | None = None) -> Tensor:
        """One draw per item of ``noise``, int64 ``(B, *code_shape)``."""
        raise NotImplementedError(f"{type(self).__name__} has to implement sample")


class CategoricalCodePrior(CodePrior):
    r"""Independent codes with a table of probabilities of their own at each position (for each class), :math:`\prod_i \pi_{i, c_i}`.

    It knows how often each code occurs where, and nothing of which codes occur together.

    Args:
        code_shape, num_codes, labels: as for every :class:`CodePrior`.
    """

    def __init__(self, code_shape: tuple[int, ...], num_codes: int, labels: LabelKind = LabelKind()) -> None:
        super().__init__(code_shape, num_codes, labels)
        positions = math.prod(code_shape)
        self.logits = nn.Parameter(torch.zeros(positions, num_codes))
        self.shift = LabelEmbedding(labels, positions * num_codes)
        for parameter in self.shift.parameters():
            nn.init.zeros_(parameter)

    def log_probs(self, count: int, labels: Tensor | None) -> Tensor:
        """log of the table of probabilities for each of so many images, ``(count, positions, K)``."""
        logits = self.logits.expand(count, -1, -1)
        shift = self.shift.append(self.logits.new_empty(count, 0), labels)
        return torch.log_softmax(logits + shift.view_as(logits) if shift.numel() else logits, dim=-1)

    def log_prob(self, codes: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.log_probs(len(codes), labels).gather(-1, codes.flatten(1).unsqueeze(-1)).sum((1, 2))

    def sample(self, noise: Noise, labels: Tensor | None = None) -> Tensor:
        """By inversion of each position's distribution."""
        log_probs = self.log_probs(len(noise), labels)
        u = noise.uniform("codes", log_probs.shape[1:2])
        return draw_category(log_probs, u.unsqueeze(-1)).squeeze(-1).unflatten(1, self.code_shape)
