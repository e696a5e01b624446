"""A model's latent space with the images that lie in it: what every exploration encodes, draws and decodes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from typing import Any, NamedTuple

import torch
from torch import Tensor

from lightning_gen.analysis.finite import require_finite
from lightning_gen.data.base import ImageDataModule
from lightning_gen.errors import UserError
from lightning_gen.images import is_image
from lightning_gen.models.base import GenerativeModel
from lightning_gen.models.capabilities import capabilities_of
from lightning_gen.noise import IndexedNoise, blocks, philox, stable_hash

MANY = 2048
"""Images that are encoded, or latents that are drawn, where a distribution has to be known."""


class Codes(NamedTuple):
    """Latent vectors and the labels that belong to them."""

    z: Tensor
    """``(N, D)``."""
    labels: Tensor
    """int64 ``(N,)`` or ``(N, A)``; zeros without labels."""


class Scale(NamedTuple):
    """Where latents lie, dimension by dimension, each ``(D,)``, and of what this is said."""

    mean: Tensor
    std: Tensor
    low: Tensor
    high: Tensor
    source: str


class LatentSpace:
    """The latent space of a model, seen through its capabilities alone; to be used within :meth:`GenerativeModel.inference`.

    Args:
        model: any model.
        data: its data.
        split: the split whose images are encoded.
        seed: keys latents that are drawn, and nothing else: number i is what ``sample`` decodes for its sample i of that seed.
    """

    def __init__(self, model: GenerativeModel, data: ImageDataModule, split: str = "test", seed: int = 0) -> None:
        self.model: Any = model  # known by its capabilities
        self.data = data
        self.split = split
        self.seed = seed
        self.name = type(model).__name__
        self.capabilities = capabilities_of(model)
        self.has_encoder = "latents" in self.capabilities
        self.has_prior = "prior" in self.capabilities and "decoding" in self.capabilities
        self.makes_images = is_image(model.data_shape)

    @cached_property
    def latent_dim(self) -> int:
        """D."""
        if self.has_encoder:
            return sum(math.prod(shape) for shape in self.model.latent_shapes.values())
        return self.draw([0]).z.shape[1]

    @property
    def is_invertible(self) -> bool:
        """Whether decoding undoes encoding by construction, as in a flow: as many latents as numbers, and no capability to reconstruct."""
        return self.has_encoder and "reconstruction" not in self.capabilities and self.latent_dim == math.prod(self.model.data_shape)

    def name_of(self, dimension: int) -> str:
        """``z7``, or, where z has parts, that of the part: ``z2[7]``."""
        shapes = self.model.latent_shapes if self.has_encoder else {}
        names = [f"{name}[{number}]" for name, shape in shapes.items() for number in range(math.prod(shape))]
        return names[dimension] if len(shapes) > 1 else f"z{dimension}"

    # Images to latents and back.

    def images(self, indices: Sequence[int], split: str | None = None) -> tuple[Tensor, Tensor]:
        """Images of a split, this one's by default, and their labels."""
        return self.data.batch(split or self.split, indices, self.model.device)

    def encode(self, batch: tuple[Tensor, Tensor]) -> Codes:
        """The latents of images, each with its own label.

        Raises:
            UserError: some are NaN or infinite.
        """
        images, labels = batch
        z = torch.cat([self.model.encode(images[block], labels=self.given(labels[block])) for block in slices(len(images))])
        require_finite(f"{self.name}: some of its codes", z)
        return Codes(z, labels)

    def decode(self, codes: Codes) -> Tensor:
        """The images of latents ``(N, D)``."""
        z, labels = codes.z.to(self.model.device, torch.get_default_dtype()), codes.labels.to(self.model.device)
        return torch.cat([self.model.decode(z[block], labels=self.given(labels[block])) for block in slices(len(z))])

    def given(self, labels: Tensor) -> Tensor | None:
        """Labels as the model wants them: none where it is unconditional."""
        return labels if self.model.conditional else None

    def draw(self, indices: Sequence[int], labels: Tensor | None = None) -> Codes:
        """Latents from the prior: those of the model's samples with these numbers, with their labels unless others are given."""
        if labels is None:
            labels = self.labels_of_samples(indices)
        noise = IndexedNoise(stable_hash(self.seed, "sampling"), indices, self.model.device)
        return Codes(self.model.draw_latents(noise, labels=self.given(labels)), labels)

    def labels_of_samples(self, indices: Sequence[int]) -> Tensor:
        """The labels that samples have when nobody names any."""
        if not self.model.conditional:
            return torch.zeros(len(indices), dtype=torch.int64, device=self.model.device)
        return torch.cat([self.model.default_labels(range(index, index + 1)) for index in indices]).to(self.model.device)

    # Distributions.

    def mixed(self, count: int | None, split: str | None = None) -> list[int]:
        """The first so many numbers of a split's images (None: all) in an order that mixes a sorted set."""
        return philox("exploration", "order").permutation(self.data.split_size(split or self.split))[:count].tolist()

    @cached_property
    def encoded(self) -> Codes:
        """The latents of up to 2048 images of the split."""
        return self.encode(self.images(self.mixed(MANY)))

    @cached_property
    def encoded_training(self) -> Codes:
        """The latents of up to 2048 training images."""
        return self.encode(self.images(self.mixed(MANY, "train"), "train"))

    @cached_property
    def population(self) -> tuple[Tensor, str]:
        """Latents that show where the model's latents lie, ``(N, D)``, and what they are: the prior's where there is one."""
        if self.has_prior:
            return torch.cat([self.draw(block).z for block in blocks(MANY)]), "draws of the prior"
        return self.encoded_training.z, "encoded training images"

    @cached_property
    def is_standard_normal(self) -> bool:
        """Whether latents are drawn from N(0, I): whether a draw is the normal noise itself."""
        if not self.has_prior:
            return False
        noise = Overheard(stable_hash(self.seed, "sampling"), range(2), self.model.device)
        z = self.model.draw_latents(noise, labels=self.given(self.labels_of_samples(range(2))))
        heard = torch.cat([draw.flatten(1) for draw in noise.normals], dim=1) if noise.normals else z.new_empty(0)
        return z.shape == heard.shape and torch.equal(z, heard)

    @cached_property
    def scale(self) -> Scale:
        """Mean and standard deviation of the prior (of encoded training images where there is none), and the range of values."""
        z, source = self.population
        if self.is_standard_normal:
            one = torch.ones_like(z[0])
            return Scale(0 * one, one, -torch.inf * one, torch.inf * one, "standard normal prior")
        return Scale(z.mean(0), z.std(0), z.min(0).values, z.max(0).values, source)

    # What stands in the way; None when nothing does.

    def cannot_decode(self) -> str | None:
        """Why there are no latents that could be shown as images."""
        if not self.makes_images:
            return f"{self.name} makes vectors, not images"
        if "decoding" not in self.capabilities:
            return f"{self.name} has no decoder of latent vectors"
        return None if self.has_encoder or self.has_prior else f"{self.name} has neither an encoder nor a prior of its latents"

    def cannot_encode(self) -> str | None:
        """Why images have no latents."""
        return None if self.has_encoder else f"{self.name} has no encoder into latent vectors"


class Overheard(IndexedNoise):
    """Noise that remembers its normal draws."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.normals: list[Tensor] = []

    def normal(self, name: str, shape: Sequence[int]) -> Tensor:
        self.normals.append(super().normal(name, shape))
        return self.normals[-1]


def slices(count: int) -> list[slice]:
    """[0, count) cut into blocks."""
    return [slice(block.start, block.stop) for block in blocks(count)]


def require_numbers(key: str, numbers: Sequence[int], count: int) -> None:
    """Refuse numbers of images that a split does not have."""
    if wrong := [number for number in numbers if not 0 <= number < count]:
        raise UserError(f"{key}: expected numbers from 0 to {count - 1}, got {wrong[0]}")
