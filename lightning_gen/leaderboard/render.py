"""Tables on a terminal or in a pipe: no value is ever cut off, and nothing from a file is taken for markup."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table as RichTable
from rich.text import Text

from lightning_gen.leaderboard.literature import Beside, published_beside
from lightning_gen.leaderboard.record import Answer, Score
from lightning_gen.leaderboard.schema import to_json
from lightning_gen.leaderboard.table import Cell, Column, Row, Table
from lightning_gen.leaderboard.text import count, number, printable

UNITS = {"count": "images", "num_samples": "samples", "bits": "bits per value"}
"""Keys of a protocol that read better after their value."""


MOST_SCORES = 6
"""Columns of scores that a terminal has room for."""

MOST_PUBLISHED = 12
"""Published rows that a terminal has room for."""

USUAL = ("FID", "FD(", "bits/dim", "nats", "IS", "CS(", "KID", "KD(", "precision(", "recall(")
"""What is shown first of more scores than that, by how their names start."""


def print_table(
    headers: Sequence[str], rows: Sequence[Sequence[str]], *, numeric: frozenset[int] = frozenset(), notes: Sequence[str] = ()
) -> None:
    """Print a table and its notes; columns with the indices ``numeric`` are right-aligned and never broken."""
    lines = [[printable(cell) for cell in row] for row in rows]
    table = RichTable(box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for index, header in enumerate(headers):
        if index in numeric:
            table.add_column(Text(header), justify="right", no_wrap=True)
        else:
            table.add_column(Text(header), overflow="fold")
    for row in lines:
        table.add_row(*map(Text, row))
    console = Console(highlight=False, markup=False, emoji=False)
    minimum, maximum = Measurement.get(console, console.options.update(width=100_000), table)
    console.width = min(maximum, max(minimum, console.width)) if console.is_terminal else maximum
    console.print(table)
    for note in notes:
        console.print(Text(printable(note)), soft_wrap=True)
    console.print()


class Grid(NamedTuple):
    """A table of the leaderboard as strings: the same cells on a terminal and in Markdown; ``numeric`` columns are aligned to the right."""

    headers: list[str]
    rows: list[list[str]]
    numeric: frozenset[int]
    notes: list[str]


def print_leaderboard(table: Table) -> None:
    """Print one table of the leaderboard with its protocol in words; of many scores the usual ones."""
    table, hidden = usual_columns(table)
    content = grid(table)
    print_table(content.headers, content.rows, numeric=content.numeric, notes=content.notes + hidden)
    if (published := published_grid(table, MOST_PUBLISHED)) is not None:
        print_table(published.headers, published.rows, numeric=published.numeric, notes=published.notes)


def grid(table: Table) -> Grid:
    """All cells of a table."""
    answers = _answers(table)
    headers, cells = ["#", "model", "family"], [[_rank(rank), _name(row), row.record.model.family] for rank, row in table.rows]
    for column in table.columns:
        _add_score(table, column, headers, cells)
    last_score = len(headers)
    headers += ["parameters", "images seen", "samples/s", "run"] + ["answer"] * any(answers)
    for line, (_, row), answer in zip(cells, table.rows, answers, strict=True):
        cost = row.record.cost
        speed = "" if cost.samples_per_second is None else count(cost.samples_per_second)
        seen = count(cost.images_seen) + (f" after {count(cost.warm_start_images)}" if cost.warm_start_images else "")
        line += [count(cost.parameters) if cost.parameters else "", seen, speed, row.record.run_name] + [answer] * any(answers)
    return Grid(headers, cells, frozenset({0, *range(3, last_score + 3)}), captions(table))


def usual_columns(table: Table) -> tuple[Table, list[str]]:
    """A table with at most :data:`MOST_SCORES` scores, and a line that names the others."""
    if len(table.columns) <= MOST_SCORES:
        return table, []
    first, *others = table.columns
    others.sort(key=lambda column: next((place for place, start in enumerate(USUAL) if column.name.startswith(start)), len(USUAL)))
    names = ", ".join(label_of(table, column) for column in others[MOST_SCORES - 1 :])
    return replace(table, columns=[first, *others[: MOST_SCORES - 1]]), [f"Not shown: {names}; --json has them"]


def _add_score(table: Table, column: Column, headers: list[str], cells: list[list[str]]) -> None:
    """Append a column of scores: one for the checkpoint that a row is about, one beside it for the last where there is any."""
    main = [_main_score(row, column) for _, row in table.rows]
    last = [_last_score(row, column) for _, row in table.rows]
    label = printable(label_of(table, column))
    for kind, column_cells in (("best", main), ("last", last)):
        if any(column_cells):
            headers.append(f"\n{kind}" if kind == "last" and any(main) else f"{label}\n{kind}")
            for line, cell in zip(cells, column_cells, strict=True):
                line.append(cell)


def _main_score(row: Row, column: Column) -> str:
    cell = row.cells[row.main_kind].get(column) if row.main_kind != "last" else None
    return "" if cell is None else score_text(cell)


def _last_score(row: Row, column: Column) -> str:
    """The score of the last checkpoint; ``same`` where the best one is the same network: as many images seen, the same value."""
    cell = row.cells.get("last", {}).get(column)
    if cell is None:
        return ""
    best = row.cells.get("best", {}).get(column)
    same = best is not None and (best.score.value, best.record.cost.images_seen) == (cell.score.value, cell.record.cost.images_seen)
    return "same" if same else score_text(cell)


def label_of(table: Table, column: Column) -> str:
    """The name of a column; with the start of its fingerprint where another protocol has the same name, shown or not."""
    of_name = {other for _, row in table.rows for other in row.columns if other.name == column.name}
    return column.name if len(of_name) == 1 else f"{column.name} #{column.fingerprint[:4]}"


def score_text(cell: Cell) -> str:
    """``12.34 ± 0.05``; a bound is never shown as exact: ``<= 3.210 (k=100)``."""
    score = cell.score
    text = number(score.value)
    if score.uncertainty is not None:
        text += f" ± {score.uncertainty:.2g}"
    return _as_bound(text, score.kind, score.better, cell.record.answer.likelihood_samples)


def _as_bound(text: str, kind: str | None, better: str, samples: int | None) -> str:
    if kind in (None, "exact"):
        return text
    suffix = f" (k={samples})" if kind == "k-sample bound" and samples is not None else ""
    # A lower bound of the likelihood bounds bits/dim from above.
    return f"{'<=' if better == 'lower' else '>='} {text}{suffix}"


def published_grid(table: Table, most: int | None = None) -> Grid | None:
    """Published numbers of the table's scores, to stand apart from its rows; None where there are none.

    Args:
        table: ours.
        most: of more than that the first are taken, and a note says how many are left out; None for all.
    """
    beside = published_beside(table)
    shown = beside[:most]
    if not shown:
        return None
    rows = [[row.system, row.score, _published_value(row), "; ".join(row.differences), row.remark, row.source, row.status] for row in shown]
    headers = ["published, not ranked", "score", "value", "otherwise than here", "remark", "source", "status"]
    left_out = [f"Not shown: {len(beside) - len(shown)} more published numbers; --json, --csv and --markdown have them"]
    return Grid(headers, rows, frozenset({2}), left_out if len(shown) < len(beside) else [])


def _published_value(row: Beside) -> str:
    # No more digits than were published; zeros at the end are left out.
    text = f"{row.value:g}" if row.uncertainty is None else f"{row.value:g} ± {row.uncertainty:g}"
    return _as_bound(text, row.kind, row.better, row.likelihood_samples)


def _rank(rank: int | None) -> str:
    return "-" if rank is None else str(rank)


def _name(row: Row) -> str:
    return row.record.model.name + {"best": "", "last": ""}.get(row.main_kind, f" ({row.main_kind})")


def _answer_parts(answer: Answer) -> dict[str, Any]:
    """How a row answers, apart from the k that stands with the score."""
    parts = to_json(answer)
    options = parts.pop("sample_options")
    parts.pop("likelihood_samples")
    return {name: value for name, value in (parts | options).items() if value is not None}


def answer_words(answer: Answer) -> str:
    """How a row answers, on one line."""
    return _words(_answer_parts(answer))


def _shared_answer(table: Table) -> dict[str, Any]:
    first, *others = [_answer_parts(row.record.answer) for _, row in table.rows]
    return {name: value for name, value in first.items() if all(name in other and other[name] == value for other in others)}


def _answers(table: Table) -> list[str]:
    """For each row, in what it answers unlike others."""
    shared = _shared_answer(table)
    return [_words({key: value for key, value in _answer_parts(row.record.answer).items() if key not in shared}) for _, row in table.rows]


def captions(table: Table) -> list[str]:
    """The protocol of every column in words, what all rows have in common, and what is not shown."""
    lines = [f"{label_of(table, column)}: {_column_words(table.scores(column))}" for column in table.columns]
    lines[0] = f"Ranked by {lines[0]}"
    shared = _shared_answer(table)
    lines += [f"All rows: {_words(shared)}"] * bool(shared)
    superseded = sum(row.superseded for _, row in table.rows)
    lines += [f"Not shown: {superseded} earlier evaluation(s) that a newer one of the same run replaces"] * bool(superseded)
    return lines


def _column_words(scores: list[Score]) -> str:
    protocol = dict(scores[0].protocol)
    parts = [f"{protocol.pop('dataset')} {protocol.pop('split')}"] + [_words(protocol)] * bool(protocol)
    parts.append(f"{scores[0].better} is better")
    kinds = sorted({score.uncertainty_kind for score in scores if score.uncertainty_kind})
    floors = sorted(score.floor for score in scores if score.floor is not None)
    span = " to ".join(dict.fromkeys(map(number, floors[:1] + floors[-1:])))
    parts += [f"± is the {' or '.join(kinds)}"] * bool(kinds) + [f"floor (real images) {span}"] * bool(floors)
    return "; ".join(parts)


def _words(values: dict[str, Any]) -> str:
    told = {key: value for key, value in values.items() if value != {}}
    return ", ".join(f"{_short(value)} {UNITS[key]}" if key in UNITS else f"{key} {_short(value)}" for key, value in told.items())


def _short(value: Any) -> str:
    """A value in a caption; a hash by its first digits."""
    text = value if isinstance(value, str) else json.dumps(to_json(value))
    is_hash = len(text) >= 32 and not set(text) - set("0123456789abcdef")
    return text[:8] if is_hash else text
