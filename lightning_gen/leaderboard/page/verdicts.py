"""Verdicts on pairs for the side-by-side view, told when the page is built; a page of many rows holds those of the best-ranked ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations, permutations
from pathlib import Path
from typing import Any

from lightning_gen.leaderboard.page.commands import COMPARE
from lightning_gen.leaderboard.significance import BRACKETS, Verdict
from lightning_gen.leaderboard.table import Column, Row, Table
from lightning_gen.leaderboard.verdicts import Kept, Side, common_columns, compare_sides, kept_values

MOST_VERDICTS = 10_000
"""On single rows, and half as many on recipes: all pairs of sixty rows with five scores, in half a megabyte and about a second."""


def verdict_data(
    tables: Sequence[Table],
    rows: Sequence[Row],
    recipes: Sequence[Sequence[Row]],
    columns: Mapping[Column, int],
    files: Mapping[int, Path],
) -> dict[str, Any]:
    """Verdicts in the words of ``leaderboard --compare``, as strict JSON data.

    Args:
        tables: of the leaderboard; the higher a row stands in one of them, the sooner it is compared.
        rows: all of them; a row's number on the page is its place here.
        recipes: rows that differ in their training seed only.
        columns: column -> its number on the page.
        files: ``id`` of a record -> the file that it was read from, beside which its values lie.
    """
    place = _places(tables)
    single = [[row] for row in rows]
    told = _affordable(single, place, MOST_VERDICTS)
    kept = kept_values([rows[number] for number in told], {key: file.parent for key, file in files.items()})
    words: dict[str, int] = {}
    # Which recipe is A follows from which row is; rows of two recipes may come in any order.
    seeds = permutations(_affordable(recipes, place, MOST_VERDICTS // 4), 2)
    return {
        "brackets": BRACKETS,
        "command": COMPARE,
        "rows": len(told),
        "pairs": _pairs(single, combinations(told, 2), kept, columns, words),
        "recipes": _pairs(recipes, seeds, Kept({}, {}), columns, words),
        "words": [*words],
    }


def _places(tables: Sequence[Table]) -> dict[int, int]:
    """``id`` of a row -> the highest line on which it stands in a table."""
    places: dict[int, int] = {}
    for table in tables:
        for line, (_, row) in enumerate(table.rows):
            places[id(row)] = min(line, places.get(id(row), line))
    return places


def _affordable(sides: Sequence[Side], place: Mapping[int, int], most: int) -> list[int]:
    """The numbers of the sides to compare, the best-ranked ones, with at most so many verdicts among all of them."""
    order = sorted(range(len(sides)), key=lambda number: (min(place[id(row)] for row in sides[number]), number))
    taken: dict[int, set[Column]] = {}
    verdicts = 0
    for number in order:
        own = common_columns(sides[number], [])
        verdicts += sum(len(own & other) for other in taken.values())
        if verdicts > most:
            break
        taken[number] = own
    return sorted(taken)


def _pairs(
    sides: Sequence[Side], numbers: Iterable[tuple[int, int]], kept: Kept, columns: Mapping[Column, int], words: dict[str, int]
) -> dict[int, dict[int, Any]]:
    """Number of A -> number of B -> a line for each score, and notes; pairs without a common score are left out."""
    pairs: dict[int, dict[int, Any]] = {}
    for a, b in numbers:
        if common_columns(sides[a], sides[b]):
            verdicts, notes = compare_sides(sides[a], sides[b], kept)
            lines = [_line(columns[column], verdict, words) for column, verdict in verdicts.items()]
            pairs.setdefault(a, {})[b] = [lines, [_word(note, words) for note in notes]]
    return pairs


def _line(column: int, verdict: Verdict, words: dict[str, int]) -> list[Any]:
    return [column, _word(verdict.answer, words), verdict.difference, _word(verdict.method, words)]


def _word(text: str, words: dict[str, int]) -> int:
    """The number of a text; few texts stand in many lines."""
    return words.setdefault(text, len(words))
