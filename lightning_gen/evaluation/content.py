"""What lies in arrays and files, as hashes: names, sizes and times of files do not say it."""

from __future__ import annotations

import hashlib
import pathlib
import time
from collections.abc import Sequence

import numpy as np

from lightning_gen.errors import UserError

SETTLED_NS = 2_000_000_000
"""A file that changed within so many nanoseconds could change again without another time."""

_hashes: dict[str, str] = {}
"""Hashes of this process, by where the files are and what the file system says of them."""


def hash_of_array(array: np.ndarray) -> str:
    """SHA-256 of the shape, type and values of an array, however they lie in memory."""
    digest = hashlib.sha256(repr((array.shape, array.dtype.str)).encode())
    for part in np.array_split(array, max(1, len(array) // 4096)) if array.ndim else [array]:
        digest.update(np.ascontiguousarray(part).data)
    return digest.hexdigest()


def hash_of_files(folder: pathlib.Path, files: Sequence[str]) -> str:
    """SHA-256 of the relative paths and contents of some files, read once in this process as long as nothing touches them.

    Raises:
        UserError: one of them cannot be read.
    """
    try:
        states, newest = _states(folder, files)
        found = _hashes.get(states)
        if found is None:
            found = _read(folder, files)
            if time.time_ns() - newest > SETTLED_NS:
                _hashes[states] = found
        return found
    except OSError as error:
        raise UserError(f"{error.filename or folder}: cannot be read ({error.strerror or error})") from error


def hash_of_file(file: pathlib.Path) -> str:
    """SHA-256 of a file's content, whatever its name; see :func:`hash_of_files`."""
    return hash_of_files(file, [""])


def _states(folder: pathlib.Path, files: Sequence[str]) -> tuple[str, int]:
    """A hash of what the file system says of the files, and when the last of them changed."""
    digest = hashlib.sha256(f"{folder.resolve()}".encode("utf-8", "surrogateescape"))
    newest = 0
    for file in files:
        status = (folder / file).stat()
        times = (status.st_mtime_ns, status.st_ctime_ns)
        digest.update(f"{file}\0{status.st_size} {times} {status.st_ino}\0".encode("utf-8", "surrogateescape"))
        newest = max(newest, *times)
    return digest.hexdigest(), newest


def _read(folder: pathlib.Path, files: Sequence[str]) -> str:
    # In this thread: the files of a folder are small, and handing them to others takes longer than hashing them.
    digest = hashlib.sha256()
    for file in files:
        with open(folder / file, "rb") as opened:
            content = hashlib.file_digest(opened, "sha256").hexdigest()
        digest.update(f"{file}\0{content}\0".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()
