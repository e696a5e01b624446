"""What samples are compared with: the split of a data set, anybody's images, a file of statistics, or a reference by name."""

from __future__ import annotations

import os
import pathlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lightning_gen import registry
from lightning_gen.data.base import SPLITS, ImageDataModule, constructor_arguments
from lightning_gen.distributed import on_first_rank, rank
from lightning_gen.errors import UserError, did_you_mean
from lightning_gen.evaluation.image_files import holds_statistics
from lightning_gen.evaluation.named_references import COMPUTED, Entry, dataset_names, find, open_entry, survey
from lightning_gen.evaluation.references import Reference
from lightning_gen.evaluation.sources import image_stream, is_generator
from lightning_gen.evaluation.streams import ImageStream, split_stream
from lightning_gen.images import is_image
from lightning_gen.metrics.reference_files import PICKLE_SUFFIXES, read_statistics
from lightning_gen.noise import BLOCK

DEFAULT_SPLIT = "train"
"""What papers compare with."""


@dataclass(frozen=True)
class RealImages:
    """Real images, or what is known of them.

    Args:
        name: in words.
        protocol: what of them defines the question that a score answers: ``dataset``, ``split``, ``count``, ...
        stream: the images; None when only statistics are known.
        stored: the statistics, on rank 0, when they were not computed from ``stream``.
        num_features: d of ``stored``.
        has_features: whether scores that need more than mean and covariance can be had.
        extractor: the network of ``stored``, where that is known.
        dialect: the dialect of ``stored``, where that is known.
        network: the whole protocol of the network of ``stored``, where that is known.
        data: the data set, when they are one's.
        splits: which splits of it.
    """

    name: str
    protocol: dict[str, Any]
    stream: ImageStream | None = None
    stored: Reference | None = field(default=None, repr=False)
    num_features: int | None = None
    has_features: bool = True
    extractor: str | None = None
    dialect: str | None = None
    network: dict[str, Any] | None = None
    data: ImageDataModule | None = None
    splits: tuple[str, ...] = ()

    @property
    def shape(self) -> tuple[int, ...] | None:
        """``(C, H, W)``, where there are images."""
        return None if self.stream is None else self.stream.shape

    def held_out(self, count: int) -> ImageStream | None:
        """As many images of the data set that are not among these, for the floor; None where there is no data set."""
        free = [split for split in ("train", "test", "validation") if split not in self.splits]
        if self.data is None or not free:
            return None
        return split_stream(self.data, free[0], min(count, self.data.split_size(free[0])))


def real_images(reference: Any, root: str | None = None, image_size: int | None = None) -> RealImages:
    """The real images that a user names.

    Args:
        reference: ``DATASET``, ``DATASET:SPLIT`` or ``DATASET:train+validation``; a folder, ``.npz`` or ``.npy`` file or array of images;
            an ``.npz`` file of statistics; or the name of a reference on this machine. The name of a data set comes first: ``./MNIST`` is
            a folder.
        root: folder of the data sets.
        image_size: pixels a side to which a folder, or a data set that can, is resized.

    Raises:
        UserError: there is nothing of that name, or it is not what it seems.
    """
    if not isinstance(reference, str | os.PathLike):
        return _of_stream(image_stream(reference))
    text = os.fspath(reference)
    dataset, _, split = text.partition(":")
    if isinstance(reference, str) and dataset in dataset_names():
        return _of_dataset(dataset, split or DEFAULT_SPLIT, root, image_size)
    path = pathlib.Path(text)
    if (path.is_file() and holds_statistics(path)) or path.suffix.lower() in PICKLE_SUFFIXES:
        return _of_statistics(path)
    if path.exists() and not is_generator(path):
        return _of_stream(image_stream(path, image_size=image_size if path.is_dir() else None))
    found, damaged = survey()
    known = [entry.name for entry in found]
    if text not in [*known, *damaged]:
        raise UserError(f"reference {text!r}: neither a file, a folder, a data set nor a name; {_hint(text, dataset, known)}")
    return _of_entry(find(text))


def _hint(text: str, dataset: str, known: list[str]) -> str:
    names = [*dataset_names(), *known]
    near = did_you_mean(dataset, names)
    if near.startswith("did you mean"):
        return near
    path = pathlib.Path(text)
    siblings = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
    near = did_you_mean(path.name, siblings)
    return near if near.startswith("did you mean") else f"data sets are {', '.join(dataset_names())}"


def _of_stream(stream: ImageStream) -> RealImages:
    identity = {"count": stream.count, "reference": stream.key}
    return RealImages(stream.name, {"dataset": stream.name, "split": "all", **identity}, stream)


def _of_dataset(name: str, split: str, root: str | None, image_size: int | None) -> RealImages:
    splits = tuple(split.split("+"))
    for part in splits:
        if part not in SPLITS:
            raise UserError(f"reference {name}:{split}: unknown split {part!r}; {did_you_mean(part, SPLITS)}")
    if len({*splits}) < len(splits):
        raise UserError(f"reference {name}:{split}: expected every split once")
    cls = registry.resolve(name, ImageDataModule, "reference")
    options: dict[str, Any] = {"batch_size": BLOCK} | ({} if root is None else {"root": root})
    if image_size is not None and takes_image_size(name):
        options["image_size"] = image_size
    data = registry.build({"class_path": registry.class_path(cls), "init_args": options}, ImageDataModule, f"reference {name}")
    if not is_image(data.data_shape):
        raise UserError(f"reference {name}: holds vectors, not images")
    on_first_rank(data.prepare_data)
    streams = [split_stream(data, part) for part in splits]
    protocol = data.protocol(splits[0]) | {"split": split, "count": sum(stream.count for stream in streams)}
    stream = streams[0] if len(streams) == 1 else joined(streams, f"{data.name} ({split})")
    return RealImages(stream.name, protocol, stream, data=data, splits=splits)


def takes_image_size(reference: Any) -> bool:
    """Whether images can be had at any size: a folder's, or a data set's that resizes."""
    if not isinstance(reference, str | os.PathLike):
        return False
    name = os.fspath(reference).partition(":")[0]
    if name in dataset_names():
        return "image_size" in constructor_arguments(registry.resolve(name, ImageDataModule, "reference"))
    return os.path.isdir(reference)


def joined(streams: list[ImageStream], name: str) -> ImageStream:
    """Several streams of images of one shape, one after the other."""
    ends = np.cumsum([stream.count for stream in streams])

    def draw(block: range, device: torch.device) -> Tensor:
        parts = []
        for stream, end in zip(streams, ends.tolist(), strict=True):
            start = end - stream.count
            inside = range(max(block.start, start) - start, min(block.stop, end) - start)
            if inside:
                parts.append(stream.draw(inside, device))
        return torch.cat(parts)

    labels = None if any(stream.labels is None for stream in streams) else np.concatenate([stream.labels for stream in streams])
    names = {stream.class_names for stream in streams}
    key = {"joined": [stream.key for stream in streams]}
    return ImageStream(name, int(ends[-1]), draw, streams[0].shape, labels, key, names.pop() if len(names) == 1 else None)


def _of_statistics(path: pathlib.Path) -> RealImages:
    found = read_statistics(path)
    said = found.card.get("origin", {})
    stored = Reference(path.name, found.statistics, found.card)
    return _of_stored(stored, {"sha256": found.card["sha256"]}, said.get("extractor"), said.get("dialect"), said.get("network"))


def _of_entry(entry: Entry) -> RealImages:
    stored = open_entry(entry)  # by every rank, so that each of them sees what is wrong with it
    identity = stored.card["content"] if entry.kind == COMPUTED else {"sha256": stored.card["origin"]["sha256"]}
    return _of_stored(stored, identity, entry.extractor, entry.dialect, entry.network)


def _of_stored(
    stored: Reference, identity: dict[str, Any], extractor: str | None, dialect: str | None, network: dict[str, Any] | None
) -> RealImages:
    return RealImages(
        name=stored.name,
        protocol={"dataset": stored.name, "split": "statistics", "count": stored.card["count"], "reference": identity},
        stored=stored if rank() == 0 else None,
        num_features=stored.gaussian.num_features,
        has_features=stored.features is not None,
        extractor=extractor,
        dialect=dialect,
        network=network,
    )
