r"""The β-VAE (Higgins et al., 2017, ICLR), also with an annealed capacity (Burgess et al., 2018, arXiv:1804.03599).

The weight is not normalised by the sizes of data and latent vector: β multiplies the KL in nats per image, summed over dimensions.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from lightning_gen.distributed import global_mean
from lightning_gen.errors import UserError
from lightning_gen.models.autoencoders.vae import VAE
from lightning_gen.models.hyperparameters import require_at_least


class BetaVAE(VAE):
    r"""A VAE with a weight on the KL, or that holds the KL near a capacity which grows.

    .. math:: -E_{q(z|x)}[\log p(x|z)] + \beta\, KL(q(z|x) \| p(z)) \qquad\text{or}\qquad \dots + \beta\, |KL(q(z|x) \| p(z)) - C|

    Args:
        data_shape: as for every :class:`GenerativeModel`.
        beta: the weight (γ in the annealed form); 1 is the VAE.
        capacity: C in nats at the end of its growth; only with ``capacity_images``.
        capacity_images: C rises linearly from 0 over so many images; 0 for the form without capacity.
        **options: as for :class:`VAE`.
    """

    paper = "Higgins et al. 2017, ICLR; Burgess et al. 2018, arXiv:1804.03599"

    def __init__(self, data_shape: list[int], beta: float = 4.0, capacity: float = 0.0, capacity_images: int = 0, **options: Any) -> None:
        super().__init__(data_shape, **options)
        require_at_least(0, beta=beta, capacity=capacity, capacity_images=capacity_images)
        if capacity and not capacity_images:
            raise UserError(f"model.capacity: it grows over capacity_images, which is 0; expected 0 without them, got {capacity}")

    def price(self, rate: Tensor) -> Tensor:
        """β times the rate, or times its distance from the capacity."""
        rate = super().price(rate)
        if not self.hparams.capacity_images:
            return self.hparams.beta * rate
        # |KL - C| is of the global batch's mean, which every rank's gradient has to follow in the same direction.
        known = global_mean(rate.detach()) if self.training else rate.detach()
        excess = rate - self.capacity
        return self.hparams.beta * torch.where(known >= self.capacity, excess, -excess)

    @property
    def capacity(self) -> float:
        """C in nats at the images seen."""
        return self.hparams.capacity * min(1.0, self.images_seen / self.hparams.capacity_images)
