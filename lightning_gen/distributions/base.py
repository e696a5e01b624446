"""What every distribution of latent vectors can do, posterior or prior."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

from torch import Tensor

from lightning_gen.noise import Noise


class LatentDistribution:
    """A distribution of latent vectors z: the last dimension is the event, those in front of it are the batch.

    A posterior has one distribution per image, ``(B, D)``, made :meth:`from_parameters` of an encoder's output. A prior usually has no
    batch and broadcasts.
    """

    mean: Tensor
    """The expectation of z, ``(..., D)``."""

    @staticmethod
    def num_parameters(latent_dim: int) -> int:
        """How many numbers per image :meth:`from_parameters` wants."""
        raise NotImplementedError

    @classmethod
    def from_parameters(cls, parameters: Tensor) -> Self:
        """The distribution that a network's output ``(..., num_parameters)`` describes."""
        raise NotImplementedError

    def sample(self, noise: Noise, name: str, shape: Sequence[int]) -> Tensor:
        """Draws of z by the noise called ``name``, ``(B, *shape)``, differentiable in the parameters where the distribution allows it.

        Args:
            noise: where the randomness comes from.
            name: of the draw.
            shape: of what is drawn per item: ``(D,)``, or ``(k, D)`` from a :meth:`repeated` distribution.
        """
        raise NotImplementedError

    def log_prob(self, z: Tensor) -> Tensor:
        """log-density (log-mass of counts) in nats, ``(...)``."""
        raise NotImplementedError

    def log_densities(self, z: Tensor) -> Tensor:
        """log-density of z ``(..., D)`` under each of K distributions ``(K, D)``: ``(..., K)``."""
        return self.log_prob(z.unsqueeze(-2))

    def kl_terms(self, other: LatentDistribution) -> Tensor:
        """Terms whose sum over the last dimension is KL(self || other) in nats, ``(..., G)``: one per dimension where the KL splits.

        Raises:
            NotImplementedError: there is no closed form for these two.
        """
        raise NotImplementedError(f"no closed form of KL({type(self).__name__} || {type(other).__name__})")

    def repeated(self) -> LatentDistribution:
        """The same with a dimension of size 1 between batch and event, for k draws per image; without a batch, itself."""
        raise NotImplementedError

    def detached(self) -> LatentDistribution:
        """The same without gradients to its parameters."""
        raise NotImplementedError
