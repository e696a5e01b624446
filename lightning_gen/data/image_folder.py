"""A user's own folder of images."""

from __future__ import annotations

import os
import pathlib
import sys
from functools import cached_property
from typing import Any, Literal, get_args

import numpy as np

from lightning_gen import distributed
from lightning_gen.data.base import SPLITS, ImageDataModule, default_root, require_at_least
from lightning_gen.data.decoding import Decoded, Decoding, UnreadableImageError, decoded
from lightning_gen.errors import UserError, did_you_mean
from lightning_gen.noise import stable_hash

EXTENSIONS = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp")
SPLIT_FOLDERS = {"train": ("train",), "validation": ("validation", "val", "valid"), "test": ("test",)}
HELD_OUT_FRACTION = 0.1
"""What a split without a folder of its own takes of the images."""

OnError = Literal["stop", "skip"]


class ImageFolder(ImageDataModule):
    """The images in a folder, with or without one subfolder per class.

    Where there is a subfolder ``train``, it and ``validation`` (or ``val``, ``valid``) and ``test`` are the splits; a missing one takes a
    tenth of the training images, chosen by a hash of their paths. Two or more subfolders of these, and no image beside them, are classes.
    An image is turned upright (EXIF), its largest central square is cut out and resized with PIL's antialiased Lanczos filter, once; the
    result is kept in ``$LIGHTNING_GEN_DATA/decoded`` and used again until a file or the preprocessing changes.

    Args:
        root: the folder.
        image_size: pixels a side.
        channels: 1 (grey) or 3 (RGB).
        on_error: ``stop`` at the first unreadable image, or ``skip`` such images and say how many there were.
    """

    summary = "your own folder of images, with or without class subfolders"
    preprocessing_arguments = ("image_size", "channels")

    def __init__(self, root: str, image_size: int, channels: int = 3, on_error: OnError = "stop", **kwargs: Any) -> None:
        super().__init__(root=root, **kwargs)
        require_at_least("image_size", image_size, 1)
        if channels not in (1, 3):
            raise UserError(f"data.channels: expected 1 (grey) or 3 (RGB), got {channels!r}")
        if on_error not in get_args(OnError):
            raise UserError(f"data.on_error: unknown value {on_error!r}; {did_you_mean(str(on_error), get_args(OnError))}")
        self.folder = pathlib.Path(self.root)
        if not self.folder.is_dir():
            raise UserError(f"data.root: expected a folder of images, got {self.root}, which does not exist")
        self.image_size = image_size
        self.channels = channels
        self.on_error = on_error
        self.name = self.folder.resolve().name
        self.data_shape = (channels, image_size, image_size)
        self.classes = class_folders(split_folder(self.folder, "train") or self.folder)
        self.num_classes = len(self.classes)
        self._decoded: dict[str, Decoded] = {}

    def prepare_data(self) -> None:
        """Decode what is not in the cache yet."""
        for split in SPLITS:
            self.decoded(split)

    def load(self, split: str) -> tuple[np.ndarray, np.ndarray | None]:
        result = self.decoded(split)
        if result.skipped and distributed.rank() == 0:
            file, reason = result.skipped[0]
            print(f"{self.name}, {split} split: skipped {len(result.skipped)} unreadable images, first {file} ({reason})", file=sys.stderr)
        return result.images, self._labels(split, result) if self.classes else None

    def protocol(self, split: str) -> dict[str, Any]:
        """As for every set, with a fingerprint of the files' paths and bytes."""
        return {**super().protocol(split), "content": self.decoded(split).fingerprint}

    def decoded(self, split: str) -> Decoded:
        """The decoded images of a split, from the cache where possible."""
        if split not in self._decoded:
            self._decoded[split] = self._decode(split)
        return self._decoded[split]

    def _decode(self, split: str) -> Decoded:
        cache = pathlib.Path(default_root()) / "decoded"
        decoding = Decoding(self.image_size, self.channels)
        try:
            return decoded(self.folder, self._files(split), decoding, cache, stop=self.on_error == "stop")
        except UnreadableImageError as error:
            advice = ", or set data.on_error: skip" if self.on_error == "stop" else ""
            raise UserError(f"{error}{advice}") from error

    @cached_property
    def split_files(self) -> dict[str, list[str]]:
        """The images of every split, as paths relative to the folder."""
        return split_files(self.folder)

    def _files(self, split: str) -> list[str]:
        files = self.split_files[split]
        if not files:
            raise UserError(f"data.root: no images for the {split} split in {self.folder} (looked for {' '.join(EXTENSIONS)})")
        return files

    def _labels(self, split: str, result: Decoded) -> np.ndarray:
        files = self._files(split)
        depth = 0 if split_folder(self.folder, "train") is None else 1
        names = [files[index].split("/")[depth] for index in result.kept]
        unknown = sorted(set(names) - set(self.classes))
        if unknown:
            hint = did_you_mean(unknown[0], self.classes)
            raise UserError(f"data.root: the {split} split has class {unknown[0]!r}, which the train split lacks; {hint}")
        index = {name: label for label, name in enumerate(self.classes)}
        return np.array([index[name] for name in names], np.int64)


def class_folders(folder: pathlib.Path) -> list[str]:
    """The subfolders that stand for classes, sorted; none when images lie beside them or there are fewer than two."""
    entries = [entry for entry in os.scandir(folder) if not entry.name.startswith((".", "__"))]
    names = sorted(entry.name for entry in entries if entry.is_dir())
    loose = any(is_image_file(entry.name) for entry in entries if entry.is_file())
    return names if len(names) >= 2 and not loose else []


def is_image_file(name: str) -> bool:
    """Whether the name ends like an image's."""
    return name.lower().endswith(EXTENSIONS) and not name.startswith(".")


def image_files(root: pathlib.Path, folder: pathlib.Path) -> list[str]:
    """All images below ``folder`` as sorted paths relative to ``root``, with forward slashes on every system."""
    found = []
    for parent, _, names in os.walk(folder, followlinks=True):
        prefix = pathlib.Path(parent).relative_to(root)
        found += [(prefix / name).as_posix() for name in names if is_image_file(name)]
    return sorted(found)


def split_folder(root: pathlib.Path, split: str) -> pathlib.Path | None:
    """The subfolder that holds a split, when there is one."""
    return next((root / name for name in SPLIT_FOLDERS[split] if (root / name).is_dir()), None)


def split_files(root: pathlib.Path) -> dict[str, list[str]]:
    """The images of every split, disjoint, as sorted paths relative to ``root``."""
    train = split_folder(root, "train")
    if train is None:
        return hold_out(image_files(root, root), ["validation", "test"])
    own = {split: folder for split in ("validation", "test") if (folder := split_folder(root, split)) is not None}
    missing = [split for split in ("validation", "test") if split not in own]
    return {**hold_out(image_files(root, train), missing), **{split: image_files(root, folder) for split, folder in own.items()}}


def hold_out(files: list[str], splits: list[str]) -> dict[str, list[str]]:
    """A tenth of the files, at least one, for each of ``splits``, chosen by a hash of the path; the rest is ``train``."""
    ordered = sorted(files, key=lambda file: stable_hash("split", file))
    size = max(1, round(len(files) * HELD_OUT_FRACTION))
    parts = {split: sorted(ordered[number * size : (number + 1) * size]) for number, split in enumerate(splits)}
    return {**parts, "train": sorted(ordered[len(splits) * size :])}
