"""Latent vectors in two parts, of which one is drawn given the other: posteriors and priors of hierarchies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from lightning_gen.distributions.base import LatentDistribution
from lightning_gen.distributions.normal import DiagonalNormal
from lightning_gen.noise import Noise

LOG_SCALE_LIMIT = 6.0
"""Largest |log σ| of a normal whose parameters follow from another draw. While the KL is warmed up nothing holds that draw, and the
exponential of a network's answer to a far-away one overflows within a few steps."""


class Conditional(Protocol):
    """p(b|a): a distribution of b for each a."""

    def given(self, a: Tensor) -> LatentDistribution:
        """p(b|a) for a of shape ``(..., A)``."""

    def repeated(self) -> Conditional:
        """The same for a with a dimension for k draws per image behind the batch's, ``(B, k, A)``."""


class Chain(LatentDistribution):
    r"""p(a) p(b|a), as a distribution of z = [a, b], or of z = [b, a].

    Args:
        root: p(a).
        conditional: p(b|a).
        sizes: the lengths of the two parts of z, in z's order.
        root_is_last: whether z = [b, a].
    """

    def __init__(self, root: LatentDistribution, conditional: Conditional, sizes: tuple[int, int], root_is_last: bool = False) -> None:
        self.root = root
        self.conditional = conditional
        self.sizes = sizes
        self.root_is_last = root_is_last

    @property
    def mean(self) -> Tensor:
        """The mean of a, and the mean of b given that: not the expectation of b, which has no closed form."""
        a = self.root.mean
        return self._joined(a, self.conditional.given(a).mean)

    def sample(self, noise: Noise, name: str, shape: Sequence[int]) -> Tensor:
        """Draws of a by the noise called ``name/root``, and of b given a by that called ``name/given``."""
        root_size, given_size = reversed(self.sizes) if self.root_is_last else self.sizes
        a = self.root.sample(noise, f"{name}/root", (*shape[:-1], root_size))
        return self._joined(a, self.conditional.given(a).sample(noise, f"{name}/given", (*shape[:-1], given_size)))

    def log_prob(self, z: Tensor) -> Tensor:
        return self.log_prob_parts(z).sum(-1)

    def log_prob_parts(self, z: Tensor) -> Tensor:
        """log p(a) and log p(b|a) in the order of z's parts, ``(..., 2)``."""
        a, b = self._split(z)
        return torch.stack(torch.broadcast_tensors(*self._ordered(self.root.log_prob(a), self.conditional.given(a).log_prob(b))), dim=-1)

    def repeated(self) -> Chain:
        return Chain(self.root.repeated(), self.conditional.repeated(), self.sizes, self.root_is_last)

    def _ordered(self, of_a: Tensor, of_b: Tensor) -> tuple[Tensor, Tensor]:
        return (of_b, of_a) if self.root_is_last else (of_a, of_b)

    def _joined(self, a: Tensor, b: Tensor) -> Tensor:
        return torch.cat(self._ordered(a, b), dim=-1)

    def _split(self, z: Tensor) -> tuple[Tensor, Tensor]:
        first, last = z.split(self.sizes, dim=-1)
        return self._ordered(first, last)


class NetworkNormal:
    r"""A normal whose parameters a network computes, :math:`p(b|a) = N(b; \mu(a), \sigma^2(a))`.

    Args:
        network: an encoder or decoder, ``(N, A) -> (N, 2 B)``: means, and log-scales, which are cut to ±6.
        labels: of a conditional model, one per image.
    """

    def __init__(self, network: nn.Module, labels: Tensor | None = None) -> None:
        self.network = network
        self.labels = labels

    def given(self, a: Tensor) -> DiagonalNormal:
        """p(b|a)."""
        rows = a.reshape(-1, a.shape[-1])
        labels = None if self.labels is None else self.labels.repeat_interleave(len(rows) // len(self.labels), dim=0)
        parameters = self.network(rows, labels).reshape(*a.shape[:-1], -1)
        # Densities in float32 at least, whatever the network ran in.
        mean, log_scale = parameters.to(torch.promote_types(parameters.dtype, torch.float32)).chunk(2, dim=-1)
        return DiagonalNormal(mean, log_scale.clamp(-LOG_SCALE_LIMIT, LOG_SCALE_LIMIT))

    def repeated(self) -> NetworkNormal:
        """Itself: labels are repeated for as many a as there are."""
        return self


class PrecisionWeighted:
    r"""The product of a conditional normal and of evidence about b, renormalised (Sønderby et al., 2016, arXiv:1602.02282).

    .. math:: \sigma^2 = \frac{1}{\hat\sigma^{-2} + \sigma_p^{-2}}, \qquad \mu = \sigma^2 (\hat\mu\,\hat\sigma^{-2} + \mu_p\,\sigma_p^{-2})

    Args:
        evidence: N(mû, sigmâ²), one per image.
        conditional: N(mu_p, sigma_p²), given a.
    """

    def __init__(self, evidence: DiagonalNormal, conditional: NetworkNormal) -> None:
        self.evidence = evidence
        self.conditional = conditional

    def given(self, a: Tensor) -> DiagonalNormal:
        """The product for this a."""
        return product(self.evidence, self.conditional.given(a))

    def repeated(self) -> PrecisionWeighted:
        """With the evidence repeated."""
        return PrecisionWeighted(self.evidence.repeated(), self.conditional.repeated())


def product(one: DiagonalNormal, other: DiagonalNormal) -> DiagonalNormal:
    """The normal whose density is proportional to the product of two, by logarithms of their precisions."""
    weight = torch.sigmoid(2 * (other.log_scale - one.log_scale))
    log_scale = -0.5 * torch.logaddexp(-2 * one.log_scale, -2 * other.log_scale)
    return DiagonalNormal(other.mean + weight * (one.mean - other.mean), log_scale)
