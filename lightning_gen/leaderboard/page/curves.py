"""Scores against images seen: from a run's ``metrics.csv``, or from its records where there is none."""

from __future__ import annotations

import contextlib
import csv
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lightning_gen.leaderboard.table import Row

IMAGES = "progress/images"
PREFIXES = ("full/", "eval/")
"""The full protocol at checkpoints; few samples in between."""

SOURCES = {"full/": "validation split, at checkpoints", "eval/": "validation split, few samples", "": "from the result records"}

MOST_POINTS = 60
"""Of one curve; of more, evenly spaced ones."""

Points = list[tuple[int, float]]


def curves_of(metrics_file: Path | None, row: Row) -> dict[str, dict[str, Any]]:
    """Name of a score -> its curve (``x``, ``y`` and where it is from), of at least two points.

    Args:
        metrics_file: of the run; None where there is none.
        row: of the run; its records stand in for what the file has not.
    """
    curves = {} if metrics_file is None else _from_file(metrics_file)
    for name, points in _from_records(row).items():
        curves.setdefault(name, ("", points))
    return {name: _as_data(prefix, thinned(points)) for name, (prefix, points) in curves.items() if len(points) > 1}


def thinned(points: Points) -> Points:
    """At most :data:`MOST_POINTS` of them, the first and the last included."""
    if len(points) <= MOST_POINTS:
        return points
    step = (len(points) - 1) / (MOST_POINTS - 1)
    return [points[round(number * step)] for number in range(MOST_POINTS)]


def _as_data(prefix: str, points: Points) -> dict[str, Any]:
    return {"from": SOURCES[prefix], "x": [images for images, _ in points], "y": [float(f"{value:.5g}") for _, value in points]}


def _from_file(path: Path) -> dict[str, tuple[str, Points]]:
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            columns = _columns(csv.reader(stream))
    except (OSError, UnicodeDecodeError, csv.Error):
        return {}
    found: dict[str, tuple[str, Points]] = {}
    for prefix in PREFIXES:
        for column, points in columns.items():
            if column.startswith(prefix) and len(points) > 1:
                found.setdefault(column.removeprefix(prefix), (prefix, sorted(points.items())))
    return found


def _columns(lines: Iterator[list[str]]) -> dict[str, dict[int, float]]:
    """Images seen -> value in every column of scores; of a point that was logged twice, before and after an interruption, the later."""
    header = next(lines, [])
    wanted = [(place, name) for place, name in enumerate(header) if name.startswith(PREFIXES)]
    columns: dict[str, dict[int, float]] = {name: {} for _, name in wanted}
    if not wanted or IMAGES not in header:
        return columns
    axis = header.index(IMAGES)
    for line in lines:
        for place, name in wanted:
            if place < len(line) and line[place]:
                with contextlib.suppress(ValueError, IndexError, OverflowError):
                    images, value = int(float(line[axis])), float(line[place])
                    if math.isfinite(value):
                        columns[name][images] = value
    return columns


def _from_records(row: Row) -> dict[str, Points]:
    found: dict[str, dict[int, float]] = {}
    for cells in row.cells.values():
        for column, cell in cells.items():
            if math.isfinite(cell.score.value):
                found.setdefault(column.name, {})[cell.record.cost.images_seen] = cell.score.value
    return {name: sorted(points.items()) for name, points in found.items()}
