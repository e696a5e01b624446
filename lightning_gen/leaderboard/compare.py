"""Two runs, or two recipes with their training seeds, found by name and compared score by score."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lightning_gen.errors import UserError, did_you_mean
from lightning_gen.leaderboard.record import ResultRecord, read
from lightning_gen.leaderboard.schema import to_json
from lightning_gen.leaderboard.seeds import recipe
from lightning_gen.leaderboard.significance import LEVEL, Verdict
from lightning_gen.leaderboard.store import find_results
from lightning_gen.leaderboard.table import Row, rows_of
from lightning_gen.leaderboard.verdicts import compare_sides, kept_values

Found = Sequence[tuple[Path, ResultRecord]]
"""Records with the files that they were read from."""


@dataclass(frozen=True)
class Comparison:
    """What came of it.

    Args:
        a, b: names of the runs on each side; several where they are one recipe's seeds.
        verdicts: by score, the headline first.
        notes: what could not be compared, or not as well as it should be, and why.
    """

    a: list[str]
    b: list[str]
    verdicts: list[Verdict]
    notes: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """Strict JSON data."""
        return {**to_json(self), "level": LEVEL}


def compare_named(a: str, b: str, found: Found) -> Comparison:
    """Compare what two names stand for.

    Args:
        a, b: a run's name or its last part, a run's folder, a result file; or a configuration, which stands for all its seeds.
        found: the records among which to look; those below a named folder, and a named file, are looked at all the same.

    Raises:
        UserError: a name stands for nothing or for several things, or the two have no score in common.
    """
    records = dict(found) | dict(_on_disk(a, b))
    sides = _rows_named("A", a, records), _rows_named("B", b, records)
    if (len(sides[0]) > 1) != (len(sides[1]) > 1):
        numbers = " and ".join(f"{name!r} has {len(rows)}" for name, rows in zip((a, b), sides, strict=True))
        raise UserError(f"--compare: expected several training seeds of both, or single runs; {numbers}")
    names = [[row.record.run_name for row in rows] for rows in sides]
    folders = {id(record): path.parent for path, record in records.items()}
    single = [*sides[0], *sides[1]] if len(sides[0]) == 1 else []
    verdicts, notes = compare_sides(*sides, kept_values(single, folders))
    if not verdicts:
        raise UserError(f"--compare: {a!r} and {b!r} have no score under one protocol ({'; '.join(notes) or 'no name in common'})")
    return Comparison(names[0], names[1], [*verdicts.values()], notes)


def _is_path(name: str) -> bool:
    return os.path.isfile(name) or os.path.isdir(name)


def _on_disk(*names: str) -> Found:
    """The records that are named by their file, or by a folder, wherever it lies."""
    files = [(Path(name), read(name)) for name in names if os.path.isfile(name)]
    return files + find_results(name for name in names if os.path.isdir(name))[0]


def _rows_named(option: str, name: str, records: Mapping[Path, ResultRecord]) -> list[Row]:
    """The row of one run, or a row for each seed of a configuration; a single word is a name before it is a file or a folder."""
    rows = [row for row in rows_of(records.values()) if row.main_kind in ("best", "last")]
    known = {known for row in rows for known in (row.record.run_name, row.record.run_name.rpartition("/")[2], row.record.config_name)}
    if _is_path(name) and (os.sep in name or name not in known):
        place = Path(name).resolve()
        below = [record for path, record in records.items() if place in (path.resolve(), *path.resolve().parents)]
        return _one(option, name, rows_of(below))
    if of_run := [row for row in rows if name in (row.record.run_name, row.record.run_name.rpartition("/")[2])]:
        return _one(option, name, of_run)
    if of_config := [row for row in rows if row.record.config_name == name]:
        return _seeds(option, name, of_config)
    raise UserError(f"--compare: {option}: no run, configuration, folder or file {name!r}; {did_you_mean(name, known)}")


def _one(option: str, name: str, rows: list[Row]) -> list[Row]:
    trained = [row for row in rows if row.main_kind in ("best", "last")] or rows
    if len(trained) != 1:
        raise UserError(f"--compare: {option}: {name!r} has {len(trained)} rows in the leaderboard, expected 1; name a result file")
    return trained


def _seeds(option: str, name: str, rows: list[Row]) -> list[Row]:
    """One row, the newest, for each training seed; refused where the runs differ by more than that."""
    if len({recipe(row, None) for row in rows}) > 1:
        raise UserError(f"--compare: {option}: the runs of {name!r} differ by more than their training seed; name one run")
    return [*{row.record.training_seed: row for row in sorted(rows, key=lambda row: row.record.time)}.values()]
