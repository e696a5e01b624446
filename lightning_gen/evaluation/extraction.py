"""One pass of the network over one set of images, by all processes: features and logits by global index.

The index range is cut into blocks of 64; block b goes to rank b mod W. Nothing is padded, ranks may get different numbers of blocks or
none, and every index is asserted to have been extracted exactly once.
"""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lightning_gen import distributed
from lightning_gen.errors import UserError
from lightning_gen.evaluation.streams import ImageStream
from lightning_gen.metrics.extractors.base import Extraction, Extractor
from lightning_gen.metrics.rows import Rows
from lightning_gen.metrics.tables import Workspace
from lightning_gen.noise import BLOCK, blocks

ANOTHER_FAILED = "another process has failed"

Report = Callable[[int, int], None]
"""Called with how many images are finished (over all ranks, about), and of how many."""

Observer = Callable[[range, Tensor], None]
"""Called with the indices and the images of every block that this rank has drawn."""


@dataclass(frozen=True)
class FeatureSet:
    """What the scores are computed from.

    Args:
        name: of the images.
        features: ``(N, d)``.
        logits: ``(N, K)``; None when the extractor is no classifier.
        labels: classes ``(N,)``, where there are any.
        class_names: the name of each label.
    """

    name: str
    features: Rows = field(repr=False)
    logits: Rows | None = field(repr=False)
    labels: np.ndarray | None = field(default=None, repr=False)
    class_names: tuple[str, ...] | None = None

    @property
    def count(self) -> int:
        """N."""
        return len(self.features)


def own_blocks(count: int) -> Iterable[tuple[int, range]]:
    """This rank's blocks of the index range [0, count), with their numbers."""
    return ((number, block) for number, block in enumerate(blocks(count)) if number % distributed.world_size() == distributed.rank())


def extract(
    stream: ImageStream, extractor: Extractor, folder: pathlib.Path | None, report: Report, observe: Observer | None = None
) -> FeatureSet:
    """Features of all images of a stream. Every rank has to call this; the result is complete on rank 0.

    Args:
        stream: the images.
        extractor: the network.
        folder: where the features go, and where those of a killed evaluation are found; None to keep them in memory, for small sets.
        report: progress.
        observe: sees all images, also those whose features were already there.
    """
    extractor.prepare(stream.shape)
    widths = {"features": extractor.num_features} | ({"logits": extractor.num_classes} if extractor.num_classes else {})
    store = (
        _FileStore(folder, stream.count, widths, extractor.device)
        if folder is not None
        else _MemoryStore(stream.count, widths, extractor.device)
    )
    seen = torch.zeros(-(-stream.count // BLOCK), dtype=torch.float64, device=extractor.device)
    with failing_together(stream.name, extractor.device):
        for number, block in own_blocks(stream.count):
            known = store.has(number)
            if not known or observe is not None:
                images = _drawn(stream, block, extractor.device)
                if observe is not None:
                    observe(block, images)
                if not known:
                    store.put(number, extractor(images))
            seen[number] += 1
            report(block.stop, stream.count)
    if not bool((distributed.global_sum(seen) == 1).all()):
        raise RuntimeError(f"{stream.name}: some images were extracted twice or never")
    return FeatureSet(stream.name, labels=stream.labels, class_names=stream.class_names, **store.tables(stream.name))


@contextlib.contextmanager
def failing_together(name: str, device: torch.device) -> Iterator[None]:
    """What one rank raises within, it raises; the others raise too, instead of waiting for it at the next collective for ever."""
    failure: Exception | None = None
    try:
        yield
    except Exception as error:
        failure = error
    if distributed.any_rank(failure is not None, device):
        raise failure or UserError(f"{name}: {ANOTHER_FAILED}")


def _drawn(stream: ImageStream, block: range, device: torch.device) -> Tensor:
    images = stream.draw(block, device)
    if images.dtype != torch.uint8 or tuple(images.shape) != (len(block), *stream.shape):
        expected = f"uint8 {[len(block), *stream.shape]}"
        raise UserError(f"{stream.name}: expected images {expected} at index {block.start}, got {images.dtype} {list(images.shape)}")
    return images


class _FileStore:
    """Tables in a folder that all processes see."""

    def __init__(self, folder: pathlib.Path, count: int, widths: dict[str, int], device: torch.device) -> None:
        self.workspace = Workspace(folder, count, widths)
        distributed.on_first_rank(self.workspace.create)
        if distributed.any_rank(not self.workspace.checksums.is_file(), device):
            raise UserError(f"{folder}: not there on every machine; expected LIGHTNING_GEN_CACHE to be a folder that all of them share")

    def has(self, number: int) -> bool:
        return self.workspace.has(number)

    def put(self, number: int, extraction: Extraction) -> None:
        self.workspace.put(number, _arrays(extraction))

    def tables(self, name: str) -> dict[str, Any]:
        distributed.barrier()
        if missing := distributed.on_first_rank(self.workspace.missing):
            raise RuntimeError(f"{name}: the features of {len(missing)} blocks are not in {self.workspace.folder}")
        return {"features": self.workspace.tables["features"], "logits": self.workspace.tables.get("logits")}


class _MemoryStore:
    """Tables in memory, put together over ranks at the end."""

    def __init__(self, count: int, widths: dict[str, int], device: torch.device) -> None:
        self.rows = {name: torch.zeros(count, width, dtype=torch.float32, device=device) for name, width in widths.items()}

    def has(self, number: int) -> bool:
        return False

    def put(self, number: int, extraction: Extraction) -> None:
        for name, table in self.rows.items():
            values = getattr(extraction, name)
            table[BLOCK * number : BLOCK * number + len(values)] = values

    def tables(self, name: str) -> dict[str, Any]:
        whole = {name: distributed.gathered(table).cpu().numpy() for name, table in self.rows.items()}
        return {"features": whole["features"], "logits": whole.get("logits")}


def _arrays(extraction: Extraction) -> dict[str, np.ndarray]:
    return {name: values.cpu().numpy() for name, values in extraction._asdict().items() if values is not None}
