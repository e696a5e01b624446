"""Differentiable augmentation (DiffAugment, Zhao et al., 2020, arXiv:2006.10738) of what a discriminator sees, real and generated.

Deviation: none of the amounts; the draws are noise of the image, so that they depend neither on batches nor on ranks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from lightning_gen.errors import UserError
from lightning_gen.noise import Noise


def color(x: Tensor, noise: Noise, name: str) -> Tensor:
    """Brightness by -0.5 to 0.5, saturation by 0 to 2 (grey images have none), contrast by 0.5 to 1.5."""
    brightness, saturation, contrast = noise.uniform(f"{name}/color", (3, 1, 1, 1)).to(x).unbind(1)
    x = x + (brightness - 0.5)
    grey = x.mean(1, keepdim=True)
    x = grey + (x - grey) * (2 * saturation)
    middle = x.mean((1, 2, 3), keepdim=True)
    return middle + (x - middle) * (contrast + 0.5)


def translation(x: Tensor, noise: Noise, name: str) -> Tensor:
    """A shift by up to an eighth of either side; what comes into sight is grey (zero)."""
    height, width = x.shape[2:]
    down, right = noise.uniform(f"{name}/translation", (2,)).to(x.device).unbind(1)
    rows = _shifted(down, height, x.device)
    columns = _shifted(right, width, x.device)
    seen = ((rows >= 0) & (rows < height))[:, None, :, None] & ((columns >= 0) & (columns < width))[:, None, None, :]
    index = torch.arange(len(x), device=x.device)[:, None, None]
    # (B, H, W, C), since what is indexed by tensors comes first.
    moved = x.permute(0, 2, 3, 1)[index, rows.clamp(0, height - 1)[:, :, None], columns.clamp(0, width - 1)[:, None, :]]
    return moved.permute(0, 3, 1, 2) * seen


def _shifted(u: Tensor, side: int, device: torch.device) -> Tensor:
    """Where each row comes from, ``(B, side)``."""
    most = int(side / 8 + 0.5)
    return torch.arange(side, device=device) - (u * (2 * most + 1)).long()[:, None] + most


def cutout(x: Tensor, noise: Noise, name: str) -> Tensor:
    """A square of half the sides is grey (zero); its middle lies anywhere."""
    height, width = x.shape[2:]
    down, right = noise.uniform(f"{name}/cutout", (2,)).to(x.device).unbind(1)
    hidden = _within(down, height, x.device)[:, None, :, None] & _within(right, width, x.device)[:, None, None, :]
    return x * ~hidden


def _within(u: Tensor, side: int, device: torch.device) -> Tensor:
    """Which rows lie in the square, ``(B, side)``."""
    size = int(side / 2 + 0.5)
    first = (u * (side + (1 - size % 2))).long()[:, None] - size // 2
    place = torch.arange(side, device=device)
    return (place >= first) & (place < first + size)


POLICIES: dict[str, Callable[[Tensor, Noise, str], Tensor]] = {"color": color, "translation": translation, "cutout": cutout}


def augment(x: Tensor, policies: Sequence[str], noise: Noise, name: str) -> Tensor:
    """Images in [-1, 1], ``(B, C, H, W)``, changed at random by the named policies, one after the other; differentiable.

    Args:
        x: the images.
        policies: of color, translation, cutout.
        noise: decides the amounts.
        name: of the draws.
    """
    for policy in policies:
        x = POLICIES[policy](x, noise, name)
    return x


def require_policies(augmentation: Sequence[str], of_images: bool) -> None:
    """Refuse an augmentation that there is not, twice the same, and any of vectors."""
    for policy in augmentation:
        if policy not in POLICIES or augmentation.count(policy) > 1:
            raise UserError(f"model.augmentation: expected each of {', '.join(POLICIES)} at most once, got {augmentation}")
    if augmentation and not of_images:
        raise UserError(f"model.augmentation: vectors cannot be augmented; expected [], got {augmentation}")
