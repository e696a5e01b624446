"""Finding and reading the result records below some folders."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from lightning_gen.errors import UserError
from lightning_gen.leaderboard.record import SUFFIX, ResultRecord, read

Skipped = list[tuple[Path | str, str]]
"""Files, folders and runs elsewhere that could not be used, each with the reason."""


def load_results(folders: Iterable[str | os.PathLike[str]]) -> tuple[list[ResultRecord], Skipped]:
    """All records below ``folders`` in the order of their paths, and what was skipped; a folder that does not exist raises UserError."""
    found, skipped = find_results(folders)
    return [record for _, record in found], skipped


def find_results(folders: Iterable[str | os.PathLike[str]]) -> tuple[list[tuple[Path, ResultRecord]], Skipped]:
    """As :func:`load_results`, each record with the file that it was read from."""
    found: list[tuple[Path, ResultRecord]] = []
    skipped: Skipped = []
    for path in _result_files([_existing(Path(folder)) for folder in folders], skipped):
        try:
            found.append((path, read(path)))
        except UserError as error:
            skipped.append((path, str(error).removeprefix(f"{path}: ")))
    return found, skipped


def snapshot(folders: Iterable[str | os.PathLike[str]]) -> frozenset[Path]:
    """The result files below ``folders`` that there are now; a folder that does not exist yet has none."""
    return frozenset(_result_files([Path(folder) for folder in folders], []))


def _existing(folder: Path) -> Path:
    if not folder.is_dir():
        raise UserError(
            f"results folder {str(folder)!r}: {'not a folder' if folder.exists() else 'does not exist'}; expected a folder of runs"
        )
    return folder


def _result_files(folders: list[Path], skipped: Skipped) -> Iterator[Path]:
    """Every result file once, however many links or folders lead to it."""
    seen: set[str] = set()
    for path in (path for folder in folders for path in _walk(folder, skipped)):
        if (real := os.path.realpath(path)) in seen:
            continue
        seen.add(real)
        if (problem := _why_not_a_file(path)) is None:
            yield path
        else:
            skipped.append((path, problem))


def _why_not_a_file(path: Path) -> str | None:
    """What is wrong with a path that cannot be opened, or would never be read to its end; None where nothing is."""
    try:
        # Opening a pipe would wait for ever.
        return None if path.is_file() else "not a regular file"
    except OSError as error:  # in a folder that may be listed, but not entered
        return f"cannot be read ({error.strerror})"


def _walk(folder: Path, skipped: Skipped) -> Iterator[Path]:
    """Paths with our suffix below ``folder``; links to folders are followed, each folder is entered once."""
    entered: set[Path] = set()
    for root, children, names in os.walk(folder, followlinks=True, onerror=lambda error: skipped.append(_unreadable(error))):
        here = Path(root)
        if (real := here.resolve()) in entered:
            children.clear()
            continue
        entered.add(real)
        children.sort()
        yield from (here / name for name in sorted(names) if name.endswith(SUFFIX))


def _unreadable(error: OSError) -> tuple[Path, str]:
    return Path(error.filename), f"folder cannot be read ({error.strerror})"
