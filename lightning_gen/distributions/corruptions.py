r"""Corruptions q(x~ | x) of images on [0, 1] (or vectors), which a denoising model has to undo (Vincent et al., 2010, JMLR 11)."""

from __future__ import annotations

import torch
from torch import Tensor

from lightning_gen import images as pixels
from lightning_gen.errors import UserError
from lightning_gen.noise import Noise


class Corruption:
    """A random spoiling of images.

    Args:
        data_shape: shape of one image ``(C, H, W)`` or vector ``(D,)``.
    """

    def __init__(self, data_shape: tuple[int, ...]) -> None:
        self.data_shape = tuple(data_shape)

    def corrupt(self, x: Tensor, noise: Noise, name: str = "corruption") -> Tensor:
        """x~ of the same shape as x ``(B, *data_shape)``, by the draws called ``name``."""
        raise NotImplementedError(f"{type(self).__name__} has to implement corrupt")


class GaussianCorruption(Corruption):
    r"""Adds noise: :math:`\tilde x = x + \sigma \epsilon`, which leaves [0, 1].

    Args:
        data_shape: as for every :class:`Corruption`.
        scale: σ, in units of x.
    """

    def __init__(self, data_shape: tuple[int, ...], scale: float = 0.5) -> None:
        super().__init__(data_shape)
        if not scale > 0:
            raise UserError(f"model.corruption.scale: expected a positive number, got {scale}")
        self.scale = scale

    def corrupt(self, x: Tensor, noise: Noise, name: str = "corruption") -> Tensor:
        return x + self.scale * noise.normal(name, self.data_shape)


class MaskingCorruption(Corruption):
    """Sets values to zero, each with the same probability.

    Args:
        data_shape: as for every :class:`Corruption`.
        probability: of every value.
    """

    def __init__(self, data_shape: tuple[int, ...], probability: float = 0.5) -> None:
        super().__init__(data_shape)
        self.probability = _probability(probability)

    def corrupt(self, x: Tensor, noise: Noise, name: str = "corruption") -> Tensor:
        return x * (noise.uniform(name, self.data_shape) >= self.probability)


class SaltAndPepperCorruption(Corruption):
    """Sets values to 0 or 1, one as likely as the other, each value with the same probability. For images only.

    Args:
        data_shape: as for every :class:`Corruption`.
        probability: of every value.
    """

    def __init__(self, data_shape: tuple[int, ...], probability: float = 0.5) -> None:
        super().__init__(data_shape)
        if not pixels.is_image(data_shape):
            raise UserError(
                f"model.corruption: SaltAndPepperCorruption needs images, got data_shape {list(data_shape)}; use GaussianCorruption"
            )
        self.probability = _probability(probability)

    def corrupt(self, x: Tensor, noise: Noise, name: str = "corruption") -> Tensor:
        u = noise.uniform(name, self.data_shape)  # below half of the probability: pepper, below the whole: salt
        return torch.where(u < self.probability, (u >= self.probability / 2).to(x), x)


def _probability(probability: float) -> float:
    if not 0 < probability < 1:
        raise UserError(f"model.corruption.probability: expected a number between 0 and 1, got {probability}")
    return probability
