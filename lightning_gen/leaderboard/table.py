"""The leaderboard: result records grouped by the question they answer, and ranked within it; a pure function of the records."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from lightning_gen.leaderboard.record import Better, ResultRecord, Score
from lightning_gen.leaderboard.schema import canonical, to_json

MAIN_KINDS = ("best", "other", "untrained")
"""The checkpoint that a row is about; ``last`` stands beside it, and in its place where there is none."""


class Column(NamedTuple):
    """Scores that may be compared: one name, one protocol, one direction."""

    name: str
    fingerprint: str
    better: Better


class Cell(NamedTuple):
    """A score and the evaluation that it comes from."""

    score: Score
    record: ResultRecord


@dataclass
class Row:
    """One way in which one run answers: its best and last checkpoint, or one other checkpoint."""

    cells: dict[str, dict[Column, Cell]] = field(default_factory=dict)
    """Checkpoint kind -> column -> cell; all cells of a kind belong to one file."""
    records: dict[str, ResultRecord] = field(default_factory=dict)
    """Checkpoint kind -> its newest evaluation."""
    superseded: int = 0
    """Number of earlier evaluations that a newer one replaces."""

    def add(self, record: ResultRecord) -> None:
        """Take in a record that is newer than those before it."""
        kind = record.checkpoint.kind
        cells = self.cells.setdefault(kind, {})
        new = {column_of(score): Cell(score, record) for score in record.scores}
        if kind in self.records and self.records[kind].checkpoint.sha256 != record.checkpoint.sha256:
            # Training went on: scores of two different files must not stand in one row.
            self.superseded += len({id(cell.record) for cell in cells.values()})
            cells.clear()
        self.superseded += bool(cells.keys() & new.keys())
        cells.update(new)
        self.records[kind] = record

    @property
    def main_kind(self) -> str:
        """The kind of checkpoint that the row is about."""
        return next((kind for kind in MAIN_KINDS if kind in self.cells), "last")

    @property
    def record(self) -> ResultRecord:
        """The newest evaluation of the checkpoint that the row is about."""
        return self.records[self.main_kind]

    @property
    def columns(self) -> set[Column]:
        """Every column in which the row has a score."""
        return {column for cells in self.cells.values() for column in cells}

    @property
    def headlines(self) -> set[Column]:
        """The columns by which the evaluations in the row ask to be ranked."""
        return {column_of(headline_of(cell.record)) for cells in self.cells.values() for cell in cells.values()}

    def cell(self, column: Column) -> Cell:
        """The score by which the row is ranked in a column that it has."""
        return (self.cells[self.main_kind] if column in self.cells[self.main_kind] else self.cells["last"])[column]

    def rank_value(self, column: Column) -> float | None:
        """The score with its sign turned so that less is better; None for what is not ranked: untrained, or not a finite number."""
        value = self.cell(column).score.value
        if self.main_kind == "untrained" or not math.isfinite(value):
            return None
        return value if column.better == "lower" else -value


@dataclass(frozen=True)
class Table:
    """Rows ranked by one column; the others are shown beside it."""

    ranked_by: Column
    columns: list[Column]
    rows: list[tuple[int | None, Row]]

    def scores(self, column: Column) -> list[Score]:
        """All scores in a column."""
        return [cells[column].score for _, row in self.rows for cells in row.cells.values() if column in cells]


def column_of(score: Score) -> Column:
    """Where a score belongs."""
    return Column(score.name, score.fingerprint, score.better)


def headline_of(record: ResultRecord) -> Score:
    """The score by which a record is ranked: its data set's headline, or the first where that was not measured."""
    return next((score for score in record.scores if score.name == record.headline), record.scores[0])


def leaderboard(records: Iterable[ResultRecord]) -> list[Table]:
    """One table per headline protocol, whatever the order of ``records``.

    Rows of several tables that share another protocol (bits/dim does not care which extractor measured the FD) meet again in a table
    of that score.
    """
    rows = rows_of(records)
    headlines: set[Column] = set()
    asked_for: dict[Column, set[frozenset[Column]]] = defaultdict(set)
    for row in rows:
        own = frozenset(row.headlines)
        headlines |= own
        for column in row.columns:
            asked_for[column].add(own)
    shared = {column for column, different in asked_for.items() if len(different) > 1}
    tables = [table_ranked_by(column, [row for row in rows if column in row.columns]) for column in headlines | shared]
    return sorted(tables, key=lambda table: table_order(table, table.ranked_by in headlines))


def rows_of(records: Iterable[ResultRecord]) -> list[Row]:
    """The rows of all tables; a record that was copied to several folders counts once."""
    rows: dict[tuple[Any, ...], Row] = {}
    distinct = {canonical(record): record for record in records}
    for _, record in sorted(distinct.items(), key=lambda item: (item[1].time, item[0])):
        rows.setdefault(_identity(record), Row()).add(record)
    return list(rows.values())


def _identity(record: ResultRecord) -> tuple[Any, ...]:
    checkpoint = record.checkpoint
    file = () if checkpoint.kind in ("best", "last") else (checkpoint.kind, checkpoint.sha256)
    run = (record.run_folder, record.run_name, record.training_seed)
    return (*run, record.model.class_path, record.config_hash, canonical(record.answer), *file)


def table_ranked_by(ranked_by: Column, rows: list[Row]) -> Table:
    """The table of rows that all have a score in the column."""
    values = {id(row): row.rank_value(ranked_by) for row in rows}
    ranked = sorted(value for value in values.values() if value is not None)
    places = [(None if (value := values[id(row)]) is None else 1 + bisect_left(ranked, value), row) for row in rows]
    places.sort(key=lambda place: (place[0] or math.inf, place[1].main_kind == "untrained", place[1].record.run_name))
    others = {column for row in rows for column in row.columns} - {ranked_by}
    return Table(ranked_by, [ranked_by, *sorted(others)], places)


def table_order(table: Table, is_headline: bool) -> tuple[Any, ...]:
    """By which tables are sorted: data set and split, headlines first."""
    protocol = table.scores(table.ranked_by)[0].protocol
    return protocol["dataset"], protocol["split"], not is_headline, table.ranked_by


def as_json(table: Table) -> dict[str, Any]:
    """The table as strict JSON data."""
    return {
        "ranked_by": table.ranked_by._asdict(),
        "columns": [column._asdict() | {"protocol": to_json(table.scores(column)[0].protocol)} for column in table.columns],
        "rows": [_row_as_json(rank, row) for rank, row in table.rows],
    }


def _row_as_json(rank: int | None, row: Row) -> dict[str, Any]:
    record = row.record
    shared = ("model", "config_name", "config_hash", "training_seed", "answer", "run_name", "run_folder", "wandb_url", "machine")
    return {
        "rank": rank,
        **{name: to_json(getattr(record, name)) for name in shared},
        "superseded": row.superseded,
        "checkpoints": {kind: _checkpoint_as_json(row.records[kind], cells) for kind, cells in row.cells.items()},
    }


def _checkpoint_as_json(record: ResultRecord, cells: dict[Column, Cell]) -> dict[str, Any]:
    # The protocol stands with the column.
    scores = [
        {key: value for key, value in to_json(cell.score).items() if key != "protocol"} | {"fingerprint": column.fingerprint}
        for column, cell in cells.items()
    ]
    return {"path": record.checkpoint.path, "sha256": record.checkpoint.sha256, "cost": to_json(record.cost), "scores": scores}
