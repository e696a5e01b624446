"""Verdicts on rows of the leaderboard: every score that two rows, or two recipes with their training seeds, have in common."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from lightning_gen.errors import UserError
from lightning_gen.leaderboard.per_image import read_values
from lightning_gen.leaderboard.significance import Resampled, Verdict, compare_resampled, compare_seeds, resample
from lightning_gen.leaderboard.table import Cell, Column, Row, column_of, headline_of

Side = Sequence[Row]
"""One row, or a row for each training seed of one recipe."""


SAME_UNIT = 1e-6
"""How far apart, as a share, the units of two scores may be that are means of the log-probabilities beside them."""


class Kept(NamedTuple):
    """What the log-probabilities of images that were kept beside records give to a comparison.

    Args:
        resampled: column and ``id`` of a record -> the bootstrap of its likelihood.
        faults: likewise -> what is wrong with the file of its values.
    """

    resampled: dict[tuple[Column, int], Resampled]
    faults: dict[tuple[Column, int], str]


def kept_values(rows: Iterable[Row], folders: Mapping[int, Path]) -> Kept:
    """Read the values behind the likelihoods of some rows, and draw their bootstraps together.

    Args:
        rows: those that will be compared with each other.
        folders: ``id`` of a record -> the folder that it lies in; of others nothing is read.
    """
    kept = Kept({}, {})
    groups: dict[tuple[Column, int], list[tuple[Cell, Sequence[float]]]] = {}
    for row in rows:
        for column in row.columns:
            cell = row.cell(column)
            values = _values(column, cell, folders.get(id(cell.record)), kept)
            if values is not None and len(values) > 1:
                groups.setdefault((column, len(values)), []).append((cell, values))
    for (column, _), members in groups.items():
        # Of a likelihood alone there is nothing to pair.
        if len(members) > 1:
            drawn = resample([cell.score for cell, _ in members], [values for _, values in members])
            kept.resampled.update({(column, id(cell.record)): each for (cell, _), each in zip(members, drawn, strict=True)})
    return kept


def _values(column: Column, cell: Cell, folder: Path | None, kept: Kept) -> Sequence[float] | None:
    try:
        return None if folder is None else read_values(cell.score, folder)
    except UserError as error:
        kept.faults[column, id(cell.record)] = f"{cell.score.name}: {error}; compared by the recorded uncertainties"
        return None


def common_columns(a: Side, b: Side) -> set[Column]:
    """The scores under one protocol that every row of both sides has."""
    return set.intersection(*(row.columns for row in (*a, *b)))


def compare_sides(a: Side, b: Side, kept: Kept) -> tuple[dict[Column, Verdict], list[str]]:
    """A verdict on each common score, the headline first, and what could not be compared, or not as well as it should be, and why.

    Args:
        a, b: single rows, or several training seeds of both.
        kept: of single rows, the values behind them.
    """
    common = common_columns(a, b)
    headline = column_of(headline_of(a[0].record))
    notes: list[str] = []
    order = sorted(common, key=lambda column: (column != headline, column))
    verdicts = {column: _verdict(column, a, b, kept, notes) for column in order}
    names = [{column.name for row in side for column in row.columns} for side in (a, b)]
    lost = sorted((names[0] & names[1]) - {column.name for column in common})
    return verdicts, notes + [f"{name}: not compared, the protocols differ" for name in lost]


def _verdict(column: Column, a: Side, b: Side, kept: Kept, notes: list[str]) -> Verdict:
    cells = a[0].cell(column), b[0].cell(column)
    kinds = [_kind(cell) for cell in cells]
    if kinds[0] != kinds[1]:
        notes.append(f"{column.name}: A's is {kinds[0]}, B's {kinds[1]}; a bound is compared, not what it bounds")
    if len(a) > 1:
        return compare_seeds([row.cell(column).score for row in a], [row.cell(column).score for row in b])
    return compare_resampled(cells[0].score, cells[1].score, *_resampled(column, *cells, kept, notes))


def _kind(cell: Cell) -> str:
    """What a likelihood is, in words; exact for every other score too."""
    kind, samples = cell.score.kind, cell.record.answer.likelihood_samples
    if kind in (None, "exact"):
        return "exact"
    return f"a {kind} (k={samples})" if kind == "k-sample bound" else f"a {kind}"


def _resampled(column: Column, a: Cell, b: Cell, kept: Kept, notes: list[str]) -> tuple[Resampled | None, Resampled | None]:
    """The bootstraps of both cells; none where the recorded means are not those of the values."""
    keys = [(column, id(cell.record)) for cell in (a, b)]
    notes += [kept.faults[key] for key in keys if key in kept.faults]
    of_a, of_b = map(kept.resampled.get, keys)
    if of_a and of_b and not math.isclose(of_a.unit, of_b.unit, rel_tol=SAME_UNIT):
        notes.append(f"{column.name}: a value is not the mean of its images' log-probabilities; compared by the recorded uncertainties")
        return None, None
    return of_a, of_b
