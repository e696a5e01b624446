"""The contract that every data set keeps: what is known before loading, splits, deterministic access, and the loaders of Lightning."""

from __future__ import annotations

import inspect
import math
import os
import pathlib
from collections.abc import Sequence
from typing import Any, cast, get_args

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor

from lightning_gen import distributed
from lightning_gen.data.loaders import Batch, EvaluationLoader, TrainLoader
from lightning_gen.data.sampler import KeyedOrder
from lightning_gen.data.stores import ResidentStore, Store, StreamedStore, fits
from lightning_gen.data.transforms import Binarization, random_flip, sample_binary, threshold
from lightning_gen.errors import UserError, did_you_mean
from lightning_gen.images import is_image, reduce_bits
from lightning_gen.noise import BLOCK, IndexedNoise, Noise, stable_hash
from lightning_gen.registry import Spec, class_path

SPLITS = ("train", "validation", "test")
STAGES = {"fit": ("train", "validation"), "validate": ("validation",), "test": ("test",), "predict": (), None: SPLITS}


def default_root() -> str:
    """The folder for data when none is named: ``$LIGHTNING_GEN_DATA``, or ``~/.cache/lightning-gen``."""
    return os.environ.get("LIGHTNING_GEN_DATA") or str(pathlib.Path.home() / ".cache" / "lightning-gen")


class ImageDataModule(pl.LightningDataModule):
    """A data set of images (or vectors) for training and evaluation.

    A subclass sets :attr:`name` and :attr:`data_shape` and implements :meth:`load`; nothing else is needed. It may set the other class
    attributes, and implement ``prepare_data`` (download; runs in one process). Every constructor argument has to be kept as an attribute
    of the same name, from which :meth:`specification` reads it; common arguments pass through ``**kwargs``.

    Args:
        batch_size: images per training step over all processes; the number of processes has to divide it.
        seed: keys the training order, dynamic binarization and augmentation.
        root: folder for data; by default ``$LIGHTNING_GEN_DATA`` or ``~/.cache/lightning-gen``.
        num_bits: bits per pixel, 1 to 8; lower bits are dropped. By default the set's own number, or 1 when it is binarized.
        binarization: ``threshold`` (white from 128 on), ``dynamic`` (white with probability x/255, drawn anew in every epoch) or
            ``static`` (drawn once and for all).
        horizontal_flip: mirror each training image with probability 1/2.
        only_classes: keep the images with these labels only, in every split; labels keep their numbers. By default all images are kept.
    """

    name: str
    """What scores and the leaderboard call the data set."""
    data_shape: tuple[int, ...]
    """``(C, H, W)`` of uint8 images, or ``(D,)`` of float32 vectors."""
    summary: str = ""
    """One line for ``lightning-gen list``."""
    num_classes: int = 0
    """Number of label classes; 0 when there are none."""
    num_attributes: int = 0
    """Number of binary attributes that serve as labels; 0 when there are none."""
    native_num_bits: int = 8
    """Bits per pixel when nothing else is asked for."""
    extractors: tuple[str, ...] = ("inception-v3-tf", "cifar-cnn")
    """The feature extractors that suit these images, best first: samples are scored with the first whose weights are on this machine."""
    metrics: tuple[str, ...] = ("fid", "is", "kid", "prdc", "diversity")
    """The scores of samples when nobody names any."""
    evaluation_samples: int = 10_000
    """N, the number of samples to score when nobody names any."""
    preprocessing_arguments: tuple[str, ...] = ()
    """The constructor arguments that change what the images are, hence belong to the protocol of a score."""

    def __init__(
        self,
        batch_size: int,
        seed: int = 0,
        root: str | None = None,
        num_bits: int | None = None,
        binarization: Binarization = "none",
        horizontal_flip: bool = False,
        only_classes: list[int] | None = None,
    ) -> None:
        super().__init__()
        require_at_least("batch_size", batch_size, 1)
        require_at_least("seed", seed, 0)
        if binarization not in get_args(Binarization):
            raise UserError(f"data.binarization: unknown value {binarization!r}; {did_you_mean(str(binarization), get_args(Binarization))}")
        self.batch_size = batch_size
        self.seed = seed
        self.root = str(pathlib.Path(root or default_root()).expanduser())
        self.binarization = binarization
        self.num_bits = self._choose_bits(num_bits)
        self.horizontal_flip = horizontal_flip
        self.only_classes = None if only_classes is None else sorted(set(only_classes))
        self._arrays: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        self._stores: dict[tuple[str, torch.device], Store] = {}

    def _choose_bits(self, num_bits: int | None) -> int:
        if self.binarization != "none":
            if num_bits not in (None, 1):
                raise UserError(f"data.num_bits: expected 1 or nothing with data.binarization: {self.binarization}, got {num_bits}")
            return 1
        if num_bits is not None and not 1 <= num_bits <= 8:
            raise UserError(f"data.num_bits: expected 1 to 8, got {num_bits}")
        return num_bits or self.native_num_bits

    def load(self, split: str) -> tuple[np.ndarray, np.ndarray | None]:
        """The images of ``train``, ``validation`` or ``test`` and their labels.

        Returns:
            uint8 ``(N, C, H, W)`` (or float32 ``(N, D)``), possibly memory-mapped, and integers ``(N,)`` or ``(N, A)``; None for no labels.
        """
        raise NotImplementedError(f"{type(self).__name__} has to implement load(split)")

    # What is known before loading.

    @property
    def likelihood_unit(self) -> str:
        """What likelihoods are quoted in: ``nats`` per image for binary images and vectors, ``bits/dim`` otherwise."""
        return "bits/dim" if is_image(self.data_shape) and self.num_bits > 1 else "nats"

    def specification(self) -> Spec:
        """Class and arguments as plain data, without paths: what a checkpoint keeps to rebuild this object on any machine."""
        arguments = {name: getattr(self, name) for name in constructor_arguments(type(self)) if name != "root"}
        return {"class_path": class_path(type(self)), "init_args": arguments}

    def protocol(self, split: str) -> dict[str, Any]:
        """What of the data defines the question that a score answers; scores of different protocols are not comparable."""
        question = {
            "dataset": self.name,
            "split": split,
            "count": self.split_size(split),
            "preprocessing": {name: getattr(self, name) for name in self.preprocessing_arguments},
        }
        if self.only_classes is not None:
            question["only_classes"] = self.only_classes
        pixels = {"num_bits": self.num_bits, "binarization": self.binarization}
        return {**question, **pixels} if is_image(self.data_shape) else question

    # Access.

    def setup(self, stage: str | None = None) -> None:
        """Load the splits of a stage (``fit``, ``validate``, ``test``, or None for all)."""
        for split in STAGES[stage]:
            self.arrays(split)

    def split_size(self, split: str) -> int:
        """The number of images of a split."""
        return len(self.arrays(split)[0])

    def batch(self, split: str, indices: Sequence[int], device: torch.device | str = "cpu") -> Batch:
        """The images with these indices as evaluation sees them: a function of the index alone, without augmentation.

        Returns:
            uint8 ``(B, C, H, W)`` (or float32 ``(B, D)``) and int64 labels ``(B,)`` or ``(B, A)``.
        """
        device = torch.device(device)
        indices = indices if isinstance(indices, range) else [int(index) for index in indices]
        if len(indices) and not 0 <= min(indices) <= max(indices) < self.split_size(split):
            raise IndexError(f"indices {min(indices)} to {max(indices)} of the {split} split, which has {self.split_size(split)} images")
        images, labels = self.store(split, device).gather(indices)
        if self.binarization == "dynamic":
            images = sample_binary(images, self._fixed_noise(split, indices, device))
        return images, labels

    def arrays(self, split: str) -> tuple[np.ndarray, np.ndarray]:
        """The images of a split before bit depth and binarization, and its labels (zeros when there are none); loaded once."""
        if split not in SPLITS:
            raise UserError(f"split: unknown value {split!r}; {did_you_mean(split, SPLITS)}")
        if split not in self._arrays:
            images, labels = self.load(split)
            labels = np.zeros(len(images), np.int64) if labels is None else np.asarray(labels, np.int64)
            self._check(split, images, labels)
            self._arrays[split] = self._chosen(images, labels)
        return self._arrays[split]

    def _chosen(self, images: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The images of ``only_classes`` and their labels, in order."""
        if self.only_classes is None:
            return images, labels
        if not self.only_classes or not 0 <= self.only_classes[0] <= self.only_classes[-1] < self.num_classes:
            among = f"labels from 0 to {self.num_classes - 1}" if self.num_classes else "nothing, since the data has no classes"
            raise UserError(f"data.only_classes: expected {among}, got {self.only_classes}")
        kept = np.flatnonzero(np.isin(labels, self.only_classes))
        if not len(kept):
            raise UserError(f"data.only_classes: expected classes of which there are images, got {self.only_classes}")
        return images[kept], labels[kept]

    def _check(self, split: str, images: np.ndarray, labels: np.ndarray) -> None:
        owner = f"data ({type(self).__name__}), {split} split"
        dtype = np.uint8 if is_image(self.data_shape) else np.float32
        if images.shape[1:] != tuple(self.data_shape) or images.dtype != dtype:
            expected = f"{np.dtype(dtype)} (N, {', '.join(map(str, self.data_shape))})"
            raise UserError(f"{owner}: expected images {expected}, got {images.dtype} {images.shape}")
        if len(labels) != len(images):
            raise UserError(f"{owner}: expected {len(images)} labels, got {len(labels)}")
        if not len(images):
            raise UserError(f"{owner}: expected at least one image, got none")
        if not is_image(self.data_shape) and (self.binarization != "none" or self.horizontal_flip):
            raise UserError(f"{owner}: vectors can neither be binarized nor mirrored; expected data.binarization: none, no horizontal_flip")

    def store(self, split: str, device: torch.device) -> Store:
        """The split on the device as a whole when it fits there, otherwise streamed to it."""
        device = torch.empty(0, device=device).device  # "cuda" and "cuda:0" are one place
        if (split, device) not in self._stores:
            images, labels = self.arrays(split)
            kind = ResidentStore if fits(images.nbytes, device) else StreamedStore
            self._stores[split, device] = kind(images, labels, lambda pixels, indices: self._prepare(split, pixels, indices), device)
        return self._stores[split, device]

    def _prepare(self, split: str, images: Tensor, indices: Sequence[int]) -> Tensor:
        """Bit depth and the binarizations that are a function of the index."""
        if not is_image(self.data_shape) or self.binarization == "dynamic":
            return images
        if self.binarization == "threshold":
            return threshold(images)
        if self.binarization == "static":
            return sample_binary(images, self._fixed_noise(split, indices, images.device))
        return reduce_bits(images, self.num_bits)

    def _fixed_noise(self, split: str, indices: Sequence[int], device: torch.device) -> IndexedNoise:
        # Independent of ``seed``: evaluation asks the same question of every run.
        return IndexedNoise(stable_hash("data", split), indices, device)

    def augment(self, images: Tensor, noise: Noise) -> Tensor:
        """What training does to a batch, anew in every epoch."""
        if self.binarization == "dynamic":
            images = sample_binary(images, noise)
        return random_flip(images, noise) if self.horizontal_flip else images

    # Loaders.

    def train_dataloader(self) -> TrainLoader:
        """This process's parts of the global batches, from wherever the model's ``batches_seen`` stands."""
        return self.train_loader(self._rank, self._world_size, self._device)

    def train_loader(self, rank: int = 0, world_size: int = 1, device: torch.device | str = "cpu") -> TrainLoader:
        """The training loader of one rank."""
        order = KeyedOrder(self.split_size("train"), self.batch_size, self.seed, rank, world_size)
        device = torch.device(device)
        return TrainLoader(self.store("train", device), order, self.augment, self._batches_seen, device)

    def val_dataloader(self) -> EvaluationLoader:
        """This process's blocks of the validation split."""
        return self._evaluation_loader("validation")

    def test_dataloader(self) -> EvaluationLoader:
        """This process's blocks of the test split."""
        return self._evaluation_loader("test")

    def _evaluation_loader(self, split: str) -> EvaluationLoader:
        if self._world_size > math.ceil(self.split_size(split) / BLOCK):
            # Lightning skips the loop of a process without batches, and the others would wait for it for ever.
            raise UserError(
                f"trainer.devices: {self._world_size} processes are more than the blocks of {BLOCK} of the {split} split "
                f"({self.split_size(split)} images); expected fewer, or no Lightning loop over that split"
            )
        device = self._device
        return EvaluationLoader(lambda indices: self.batch(split, indices, device), self.split_size(split), self._rank, self._world_size)

    def _batches_seen(self) -> int:
        return cast(int, self.trainer.lightning_module.batches_seen) if self.trainer else 0

    @property
    def _rank(self) -> int:
        return self.trainer.global_rank if self.trainer else distributed.rank()

    @property
    def _world_size(self) -> int:
        return self.trainer.world_size if self.trainer else distributed.world_size()

    @property
    def _device(self) -> torch.device:
        return self.trainer.strategy.root_device if self.trainer else torch.device("cpu")


def constructor_arguments(cls: type) -> list[str]:
    """The names of the arguments of ``cls``, following ``**kwargs`` to its base classes."""
    names: list[str] = []
    for owner in cls.__mro__:
        if "__init__" not in vars(owner):
            continue
        parameters = list(inspect.signature(vars(owner)["__init__"]).parameters.values())[1:]
        names += [parameter.name for parameter in parameters if parameter.kind is not parameter.VAR_KEYWORD]
        if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
            return names
    return names


def require_at_least(key: str, value: int, smallest: int) -> None:
    """Refuse an argument that is not an integer of at least ``smallest``, by its name in a configuration."""
    if isinstance(value, bool) or not isinstance(value, int) or value < smallest:
        raise UserError(f"data.{key}: expected an integer of at least {smallest}, got {value!r}")
