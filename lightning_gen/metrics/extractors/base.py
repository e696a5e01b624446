"""The contract of a feature network: uint8 images in, features and logits out, a function of the images alone."""

from __future__ import annotations

import contextlib
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor

from lightning_gen.errors import UserError


class Extraction(NamedTuple):
    """What a network says of a batch of images.

    Args:
        features: float32 ``(B, d)``.
        logits: unnormalised log class probabilities, float32 ``(B, K)``; None when the network is no classifier.
    """

    features: Tensor
    logits: Tensor | None


class Extractor(ABC):
    """A network that turns images into features.

    A subclass sets the attributes below and implements :meth:`extract`, which sees at most :attr:`micro_batch` images at a time.
    :attr:`num_features` and :attr:`num_classes` may stay 0 until :meth:`prepare` has seen the shape of the images.
    """

    name: str
    """As it appears in scores: ``FD(name)``."""
    num_features: int = 0
    """d."""
    num_classes: int = 0
    """K; 0 when the network is no classifier."""
    device: torch.device
    is_inception: bool = False
    """Whether this is Inception with its official weights, whose scores alone are called FID, IS and KID."""
    micro_batch: int = 64
    """How many images the network sees at a time."""
    is_thread_safe: bool = False
    """Whether several threads may extract at once. Then each piece is computed by one thread on a CPU, several pieces side by side: as
    fast as pieces that all threads share, and the bits do not depend on how many threads there are."""

    @property
    @abstractmethod
    def protocol(self) -> dict[str, Any]:
        """What of the extractor defines the question that a score answers, as plain data."""

    @abstractmethod
    def extract(self, images: Tensor) -> Extraction:
        """uint8 ``(B, C, H, W)`` on :attr:`device` to features; without gradient, autocast, or another default type than float32."""

    def protocol_for(self, data_shape: tuple[int, ...]) -> dict[str, Any]:
        """The protocol for images ``(C, H, W)``; another one than :attr:`protocol` when images of this shape are adapted to the network."""
        return self.protocol

    def check_shape(self, data_shape: tuple[int, ...]) -> None:
        """Refuse images ``(C, H, W)`` that the network cannot take."""
        if len(data_shape) != 3:
            raise UserError(f"extractor {self.name!r}: expected images (C, H, W), got data of shape {list(data_shape)}")

    def prepare(self, data_shape: tuple[int, ...]) -> None:
        """Refuse images ``(C, H, W)`` that the network cannot take; afterwards the numbers of features and classes are known."""
        self.check_shape(data_shape)
        if not self.num_features:
            self(torch.zeros(2, *data_shape, dtype=torch.uint8))

    def __call__(self, images: Tensor) -> Extraction:
        """uint8 ``(B, C, H, W)`` to features and logits on :attr:`device`."""
        if images.dtype != torch.uint8 or images.ndim != 4 or not len(images):
            raise UserError(f"extractor {self.name!r}: expected uint8 images (B, C, H, W), got {images.dtype} {list(images.shape)}")
        self.check_shape(tuple(images.shape[1:]))
        with plain_arithmetic(self.device.type):
            pieces = images.to(self.device).split(self.micro_batch)
            threads = torch.get_num_threads()
            if self.is_thread_safe and self.device.type == "cpu" and threads > 1:
                try:
                    parts = [*single_threads(threads, os.getpid()).map(self._checked_alone, pieces)]
                finally:
                    torch.set_num_threads(threads)
            else:
                parts = [self._checked(piece) for piece in pieces]
        features, logits = zip(*parts, strict=True)
        return Extraction(torch.cat(features), None if logits[0] is None else torch.cat(logits))

    def _checked_alone(self, images: Tensor) -> Extraction:
        # Each time: the linear algebra library keeps one number of threads for the whole process, which the caller sets back.
        torch.set_num_threads(1)
        # Without gradient and autocast are states of a thread.
        with torch.no_grad(), torch.autocast(self.device.type, enabled=False):
            return self._checked(images)

    def _checked(self, images: Tensor) -> Extraction:
        extraction = self.extract(images)
        for what, values in (("features", extraction.features), ("logits", extraction.logits)):
            if values is None:
                continue
            if values.ndim != 2 or len(values) != len(images) or values.dtype != torch.float32:
                raise UserError(
                    f"extractor {self.name!r}: expected {what} float32 ({len(images)}, d), got {values.dtype} {list(values.shape)}"
                )
            if not bool(values.isfinite().all()):
                raise UserError(f"extractor {self.name!r}: {what} are not finite (NaN or infinite)")
        sizes = extraction.features.shape[1], 0 if extraction.logits is None else extraction.logits.shape[1]
        self._set_sizes(*sizes)
        return extraction

    def _set_sizes(self, num_features: int, num_classes: int) -> None:
        known = self.num_features, self.num_classes
        if self.num_features and known != (num_features, num_classes):
            raise UserError(f"extractor {self.name!r}: expected {known} features and logits, got {(num_features, num_classes)}")
        self.num_features, self.num_classes = num_features, num_classes


@cache
def single_threads(count: int, process: int) -> ThreadPoolExecutor:
    """Threads for one piece each; a forked process needs threads of its own."""
    return ThreadPoolExecutor(count, thread_name_prefix="extract")


@contextlib.contextmanager
def plain_arithmetic(device_type: str) -> Iterator[None]:
    """No gradient, no autocast, float32 as the default type, and cuDNN's fixed algorithms, whatever the caller works in."""
    cudnn = torch.backends.cudnn
    before = torch.get_default_dtype(), cudnn.benchmark, cudnn.deterministic
    torch.set_default_dtype(torch.float32)
    cudnn.benchmark, cudnn.deterministic = False, True  # a benchmark chooses by the clock
    try:
        with torch.no_grad(), torch.autocast(device_type, enabled=False):
            yield
    finally:
        torch.set_default_dtype(before[0])
        cudnn.benchmark, cudnn.deterministic = before[1:]
