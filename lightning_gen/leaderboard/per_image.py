"""The log-probability of every image beside a record: what a paired comparison of two likelihoods needs, and the record has no room for.

A file of float64, least byte first, in image order, named by its content, so that no other can pass for it. Records are complete without.
"""

from __future__ import annotations

import hashlib
import os
import string
import sys
from array import array
from collections.abc import Iterable
from pathlib import Path

from lightning_gen.errors import UserError
from lightning_gen.files import complete
from lightning_gen.leaderboard.record import Score

KEY = "log_probs_sha256"
"""The key of a score's details that names the file of its values, in nats."""

LARGEST = 64 * 2**20
"""Bytes; eight million images."""


def digest(values: Iterable[float]) -> str:
    """SHA-256 of the file that would hold ``values``."""
    return hashlib.sha256(_bytes(values)).hexdigest()


def file_name(sha256: str) -> str:
    """The name of the file with this content."""
    return f"{sha256[:16]}.nats.f64"


def write_values(values: Iterable[float], folder: str | os.PathLike[str]) -> Path:
    """Write the log-probabilities of images beside their record, complete or not at all; the same values twice are one file.

    Raises:
        UserError: the folder cannot be written to, or the disk is full.
    """
    content = _bytes(values)
    path = Path(folder) / file_name(hashlib.sha256(content).hexdigest())
    with complete(path) as partial:
        partial.write_bytes(content)
    return path


def read_values(score: Score, folder: str | os.PathLike[str]) -> array[float] | None:
    """The log-probabilities behind a score in a record of ``folder``, nats; None where the record names none or the file is gone.

    Raises:
        UserError: the file is not the one that was written, or cannot be read.
    """
    sha256 = score.details.get(KEY)
    # The name comes from a file: only digits, so that it leads nowhere else.
    if not isinstance(sha256, str) or len(sha256) != 64 or not set(sha256) <= set(string.hexdigits):
        return None
    path = Path(folder) / file_name(sha256)
    try:
        if not path.is_file():
            return None
        content = path.read_bytes() if path.stat().st_size <= LARGEST else b""
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    if hashlib.sha256(content).hexdigest() != sha256 or len(content) % array("d").itemsize:
        raise UserError(f"{path}: not the log-probabilities that the record names (damaged or forged)")
    values = array("d", content)
    if sys.byteorder == "big":
        values.byteswap()
    return values


def _bytes(values: Iterable[float]) -> bytes:
    numbers = array("d", values)
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers.tobytes()
