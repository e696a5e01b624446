"""Tables of features by global image index: in memory for small sets, else in files that survive a kill.

A file is preallocated, so a full disk shows before anything is computed. Every block of 64 rows has a checksum: a block counts as finished
when its rows match it, whoever wrote them and however that process ended.
"""

from __future__ import annotations

import errno
import hashlib
import os
import pathlib
from typing import Any

import numpy as np

from lightning_gen.errors import UserError
from lightning_gen.noise import BLOCK

CHECKSUM_BYTES = 8


class FileTable:
    """Rows of float32 in a file, read piece by piece so that no table ever lies in memory as a whole.

    Args:
        path: the file; raw little-endian float32, row by row.
        shape: ``(N, d)``.
    """

    def __init__(self, path: pathlib.Path, shape: tuple[int, int]) -> None:
        self.path = path
        self.shape = shape

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> np.ndarray:
        # Mapped anew each time: pages that were read do not count as this process's memory for longer than the copy takes.
        rows = np.memmap(self.path, "<f4", "r", shape=self.shape)[key]
        return np.array(rows) if isinstance(key, slice) else np.asarray(rows)  # an array of indices has copied already

    def create(self) -> None:
        """Reserve the file's room on the disk."""
        preallocate(self.path, 4 * self.shape[0] * self.shape[1])

    def write(self, start: int, rows: np.ndarray) -> None:
        """Put rows in place; other processes may write other rows of the same file."""
        write_at(self.path, 4 * start * self.shape[1], np.ascontiguousarray(rows, "<f4").tobytes())


def preallocate(path: pathlib.Path, size: int) -> None:
    """A file of ``size`` zero bytes whose room is really there."""
    with open(path, "wb") as file:
        if hasattr(os, "posix_fallocate") and size:
            try:
                os.posix_fallocate(file.fileno(), 0, size)
            except OSError as error:
                if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP, errno.ENOTSUP):
                    raise
        file.truncate(size)


def write_at(path: pathlib.Path, offset: int, content: bytes) -> None:
    """Write into the middle of a file without a shared position."""
    with open(path, "rb+", buffering=0) as file:
        file.seek(offset)
        written = 0
        while written < len(content):
            written += file.write(content[written:]) or 0


class Workspace:
    """The features and logits of one set of images in a folder, block by block.

    Args:
        folder: where the files lie; created by :meth:`create`.
        count: number of images N.
        widths: name of each table -> its number of columns.
    """

    def __init__(self, folder: pathlib.Path, count: int, widths: dict[str, int]) -> None:
        self.folder = folder
        self.count = count
        self.tables = {name: FileTable(folder / f"{name}.f32", (count, width)) for name, width in widths.items()}
        self.checksums = folder / "checksums"

    def create(self) -> None:
        """Reserve the files that are not there yet; what is there is kept. One process does this.

        Raises:
            UserError: there is no room, or the folder cannot be written to.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            sizes = {table.path: 4 * table.shape[0] * table.shape[1] for table in self.tables.values()}
            sizes[self.checksums] = CHECKSUM_BYTES * -(-self.count // BLOCK)
            for path, size in sizes.items():
                if not path.is_file() or path.stat().st_size != size:
                    preallocate(path, size)
        except OSError as error:
            raise UserError(f"{self.folder}: no room for the features of {self.count} images ({error.strerror or error})") from error

    def has(self, number: int) -> bool:
        """Whether a block is finished: its rows match their checksum."""
        with open(self.checksums, "rb") as file:
            file.seek(CHECKSUM_BYTES * number)
            stored = file.read(CHECKSUM_BYTES)
        return any(stored) and stored == checksum([table[self._rows(number)] for table in self.tables.values()])

    def put(self, number: int, values: dict[str, np.ndarray]) -> None:
        """Write a block; its checksum comes last."""
        try:
            for name, table in self.tables.items():
                table.write(number * BLOCK, values[name])
            write_at(self.checksums, CHECKSUM_BYTES * number, checksum([values[name] for name in self.tables]))
        except OSError as error:
            raise UserError(f"{self.folder}: features cannot be written ({error.strerror or error})") from error

    def missing(self) -> list[int]:
        """The blocks that are not finished."""
        return [number for number in range(-(-self.count // BLOCK)) if not self.has(number)]

    def _rows(self, number: int) -> slice:
        return slice(number * BLOCK, min((number + 1) * BLOCK, self.count))


def checksum(arrays: list[np.ndarray]) -> bytes:
    """A hash of the arrays' bytes that is never all zero."""
    digest = hashlib.blake2b(digest_size=CHECKSUM_BYTES)
    for array in arrays:
        digest.update(np.ascontiguousarray(array, "<f4").tobytes())
    return bytes([digest.digest()[0] | 1]) + digest.digest()[1:]
