r"""Whether an encoder is the inverse of a generator: of images and of latent vectors, beside what strangers to each other get.

Donahue et al. (2016, arXiv:1605.09782, Section 4.2) show pictures of G(E(x)); their code reports these distances.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from lightning_gen.analysis.representations import choose_images
from lightning_gen.data.base import ImageDataModule
from lightning_gen.evaluation.arithmetic import exact_arithmetic
from lightning_gen.images import is_image, to_unit
from lightning_gen.models.base import Weights
from lightning_gen.models.capabilities import SupportsLatents, SupportsPrior, SupportsReconstruction
from lightning_gen.noise import IndexedNoise, blocks, stable_hash


def has_inversion(model: object) -> bool:
    """Whether a model has an encoder, a prior and reconstructions."""
    return all(isinstance(model, part) for part in (SupportsLatents, SupportsPrior, SupportsReconstruction))


def inversion(
    model: Any, data: ImageDataModule, split: str = "test", num_images: int = 10_000, seed: int = 0, weights: Weights = "ema"
) -> dict[str, float]:
    r"""Mean distances :math:`\lVert x - G(E(x)) \rVert` and :math:`\lVert z - E(G(z)) \rVert`, the same of strangers, and their ratios.

    A stranger is the next of the set: x beside the reconstruction of another image, z beside what E finds in the image of another z. The
    ratio is below 1 as far as the encoder inverts the generator. Images are in [0, 1], vectors as they are.

    Args:
        model: one with an encoder, a prior and reconstructions, unconditional.
        data: whose images.
        split: of the data.
        num_images: so many images, and as many draws of z.
        seed: keys the choice of images and the draws.
        weights: averaged ones, where there are any, or live ones.
    """
    indices = choose_images(data, split, num_images, seed)
    pairs: dict[str, list[tuple[Tensor, Tensor]]] = {"image": [], "latent": []}
    with torch.random.fork_rng(devices=[]), model.inference(weights), exact_arithmetic():
        for block in blocks(len(indices)):
            images = data.batch(split, indices[block.start : block.stop].tolist(), model.device)[0]
            z = model.draw_latents(IndexedNoise(stable_hash("inversion", seed), block, model.device))
            pairs["image"].append((_flat(images), _flat(model.reconstruct(images))))
            pairs["latent"].append((z.flatten(1), model.encode(model.decode(z)).flatten(1)))
    found: dict[str, float] = {}
    for name, parts in pairs.items():
        truth, guess = (torch.cat(side).double().cpu() for side in zip(*parts, strict=True))
        own, shuffled = _distance(truth, guess), _distance(truth, guess.roll(1, 0))
        found |= {f"{name}_error": own, f"{name}_error_shuffled": shuffled, f"{name}_ratio": own / shuffled}
    return found


def _flat(images: Tensor) -> Tensor:
    return (to_unit(images) if is_image(images.shape[1:]) else images).flatten(1)


def _distance(one: Tensor, other: Tensor) -> float:
    return float((one - other).norm(dim=1).mean())
