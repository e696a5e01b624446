"""Where evaluations keep what another one can use: reference statistics, and the features of one that was killed."""

from __future__ import annotations

import contextlib
import hashlib
import os
import pathlib
import shutil
import tempfile
import time
from collections.abc import Iterator
from typing import Any

from filelock import FileLock, Timeout

from lightning_gen import distributed
from lightning_gen.data.base import default_root
from lightning_gen.distributed import on_first_rank, say, say_once
from lightning_gen.errors import UserError
from lightning_gen.leaderboard.schema import canonical

KEPT_SECONDS = 14 * 24 * 3600
"""How long the features of a killed evaluation wait to be taken up again."""

FORMAT = 2
"""Part of every key: raise it when what is stored changes its meaning."""


def cache_root() -> pathlib.Path:
    """``$LIGHTNING_GEN_CACHE``, or the folder ``evaluation`` beside the data."""
    named = os.environ.get("LIGHTNING_GEN_CACHE")
    return pathlib.Path(named).expanduser() if named else pathlib.Path(default_root()) / "evaluation"


def fingerprint(content: dict[str, Any]) -> str:
    """The name under which something that is determined by plain data is kept."""
    return hashlib.sha256(canonical({"format": FORMAT, **content}).encode()).hexdigest()[:24]


def cache_is_writable() -> bool:
    """Whether references can be kept, on every rank; a cache that cannot be written to is said once and done without."""

    def attempt() -> bool:
        folder = cache_root() / "references"
        probe = folder / f".writable-{os.getpid()}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            probe.touch()
            probe.unlink()
        except OSError as error:
            say_once(f"{folder}: cannot be written to ({error.strerror}); reference statistics are computed for this once")
            return False
        return True

    return on_first_rank(attempt)


@contextlib.contextmanager
def work_folder(key: str | None) -> Iterator[pathlib.Path]:
    """A folder for one set of features, the same on every process, removed when the evaluation has come to its end.

    With a key, a killed evaluation's folder is found again; while another process works in it, a folder of one's own is given instead.
    """
    lock: FileLock | None = None

    def claim() -> pathlib.Path:
        nonlocal lock
        try:
            lock, folder = _claim(key)
        except OSError as error:
            raise UserError(f"{cache_root()}: no place for features ({error.strerror or error})") from error
        return folder

    found = on_first_rank(claim)
    finished = False
    try:
        yield found
        finished = True
    finally:
        # What nobody would find again goes in any case; the rest waits for the next attempt.
        _end(found, lock, finished or lock is None)


def _end(folder: pathlib.Path, lock: FileLock | None, finished: bool) -> None:
    """Rank 0 tidies up."""
    if distributed.rank() == 0:
        if finished:
            shutil.rmtree(folder, ignore_errors=True)
        if lock is not None:
            lock.release()


def _claim(key: str | None) -> tuple[FileLock | None, pathlib.Path]:
    root = cache_root() / "features"
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        folder = pathlib.Path(tempfile.mkdtemp(prefix="lightning-gen-features-"))
        say(f"{root}: cannot be written to ({error.strerror}); features go to {folder}, and a killed evaluation starts anew")
        return None, folder
    if key is None:
        return None, pathlib.Path(tempfile.mkdtemp(prefix="anonymous-", dir=root))
    _tidy(root)
    lock = FileLock(root / f"{key}.lock")
    try:
        lock.acquire(blocking=False)
    except Timeout:
        return None, pathlib.Path(tempfile.mkdtemp(prefix=f"{key}-", dir=root))
    return lock, root / key


def _tidy(root: pathlib.Path) -> None:
    """Remove what nobody has come back for."""
    for path in root.iterdir():
        with contextlib.suppress(OSError):  # another process may tidy as well
            written = max(file.stat().st_mtime for file in [path, *(path.iterdir() if path.is_dir() else [])])
            if time.time() - written > KEPT_SECONDS:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
