"""The tables as Markdown, for a pull request, and as CSV, for a spreadsheet; nothing from a file is taken for markup or a formula."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from lightning_gen.leaderboard.literature import Beside, published_beside
from lightning_gen.leaderboard.record import ResultRecord
from lightning_gen.leaderboard.render import Grid, grid, published_grid
from lightning_gen.leaderboard.schema import canonical
from lightning_gen.leaderboard.table import Cell, Column, Table
from lightning_gen.leaderboard.text import printable

MARKUP = "\\`*_{}[]<>()#+-!|~&$"
"""What Markdown or HTML may give a meaning to; a backslash before it takes the meaning away."""

FORMULA = ("=", "+", "-", "@")
"""What a spreadsheet takes for the beginning of a formula."""


def as_markdown(tables: Iterable[Table]) -> str:
    """A heading, a table and its notes for each table; published numbers in a table of their own under it."""
    return "\n".join(line for table in tables for line in _markdown_lines(table))


def _markdown_lines(table: Table) -> Iterator[str]:
    content, published = grid(table), published_grid(table)
    title, *notes = content.notes
    yield from (f"### {_plain(title)}", "")
    yield from _markdown_table(content)
    yield from (f"- {_plain(note)}" for note in notes)
    yield from [""] * bool(notes)
    if published is not None:
        yield from _markdown_table(published)


def _markdown_table(content: Grid) -> Iterator[str]:
    yield _markdown_row(content.headers)
    yield _markdown_row(["---:" if index in content.numeric else "---" for index in range(len(content.headers))], escape=False)
    yield from map(_markdown_row, content.rows)
    yield ""


def _markdown_row(cells: Sequence[str], escape: bool = True) -> str:
    return f"| {' | '.join(_plain(cell) if escape else cell for cell in cells)} |"


def _plain(text: str) -> str:
    """A string as Markdown that shows that string, on one line."""
    line = printable(text)
    # Within a word or a number these are plain; only at the start they make lists.
    harmless = "-+()#!." if line[:1] not in ("-", "+", "#", "!") else ""
    return "".join(f"\\{letter}" if letter in MARKUP and letter not in harmless else letter for letter in line)


def as_csv(tables: Iterable[Table]) -> str:
    """One line for each score of each checkpoint in each table; only the score that a table is ranked by has a rank.

    Published numbers are lines without a rank, a run and a fingerprint, and with who published them.
    """
    lines = [{key: _cell(value) for key, value in line.items()} for table in tables for line in _csv_lines(table)]
    text = io.StringIO()
    writer = csv.DictWriter(text, [*lines[0]] if lines else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return text.getvalue()


def _csv_lines(table: Table) -> Iterator[dict[str, Any]]:
    for rank, row in table.rows:
        for cells in row.cells.values():
            for column, cell in sorted(cells.items()):
                ranked = column == table.ranked_by and cell == row.cell(column)
                yield {**_head(table, rank if ranked else None), **_of_record(cell.record), **_of_score(column, cell), **_source()}
    yield from ({**_head(table, None), **_of_published(beside)} for beside in published_beside(table))


def _head(table: Table, rank: int | None) -> dict[str, Any]:
    return {"ranked_by": table.ranked_by.name, "rank": rank}


def _source(name: str = "", status: str = "measured", differences: str = "", remark: str = "") -> dict[str, str]:
    return {"published_by": name, "status": status, "otherwise_than_here": differences, "remark": remark}


def _of_published(beside: Beside) -> dict[str, Any]:
    plain = ("score", "value", "uncertainty", "better", "kind", "likelihood_samples")
    return {
        "model": beside.system,
        **{key: getattr(beside, key) for key in plain},
        "dataset": beside.protocol["dataset"],
        "split": beside.protocol.get("split"),
        "protocol": canonical(beside.protocol),
        **_source(beside.source, beside.status, "; ".join(beside.differences), beside.remark),
    }


def _of_record(record: ResultRecord) -> dict[str, Any]:
    return {
        "model": record.model.name,
        "family": record.model.family,
        "config": record.config_name,
        "run": record.run_name,
        "training_seed": record.training_seed,
        "checkpoint": record.checkpoint.kind,
        "likelihood_samples": record.answer.likelihood_samples,
        "weights": record.answer.weights,
        "images_seen": record.cost.images_seen,
        "parameters": record.cost.parameters,
        "device_hours": record.cost.device_hours,
        "samples_per_second": record.cost.samples_per_second,
        "created": record.created,
    }


def _of_score(column: Column, cell: Cell) -> dict[str, Any]:
    score = cell.score
    plain = ("value", "uncertainty", "uncertainty_kind", "better", "floor", "kind")
    return {
        "score": score.name,
        **{key: getattr(score, key) for key in plain},
        "dataset": score.protocol["dataset"],
        "split": score.protocol["split"],
        "fingerprint": column.fingerprint,
        "protocol": canonical(score.protocol),
    }


def _cell(value: Any) -> Any:
    """A value as a cell: no control characters, and nothing that a spreadsheet would compute."""
    if not isinstance(value, str):
        return value
    text = printable(value)
    return f"'{text}" if text.startswith(FORMULA) else text
