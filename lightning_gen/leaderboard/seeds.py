"""Runs that differ only by their seed: what one recipe gives on average, and how far apart its runs lie."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from lightning_gen.leaderboard.schema import canonical, to_json
from lightning_gen.leaderboard.table import Column, Row


class Spread(NamedTuple):
    """A score over seeds: mean, standard deviation (of a sample), and the seeds."""

    mean: float
    deviation: float
    seeds: list[int]


def seed_groups(rows: Iterable[Row], settings: Mapping[int, Mapping[str, Any]]) -> list[list[Row]]:
    """Rows of one recipe under several seeds, one row (the newest) for each seed; recipes with one seed are left out.

    Args:
        rows: of a leaderboard.
        settings: ``id`` of a row -> its experiment's settings, where they are known; otherwise the record's hyperparameters tell.
    """
    groups: dict[str, dict[int, Row]] = defaultdict(dict)
    for row in sorted(rows, key=lambda row: row.record.time):
        if row.main_kind in ("best", "last"):
            groups[recipe(row, settings.get(id(row)))][row.record.training_seed] = row
    return [list(seeds.values()) for seeds in groups.values() if len(seeds) > 1]


def spread(group: Iterable[Row], column: Column) -> Spread | None:
    """The score of a group in a column; None where fewer than two of its runs have a finite one, or their spread is not."""
    cells = [row.cell(column) for row in group if column in row.columns]
    values = {cell.record.training_seed: cell.score.value for cell in cells if math.isfinite(cell.score.value)}
    if len(values) < 2:
        return None
    mean, deviation = mean_and_deviation([*values.values()])
    return Spread(mean, deviation, sorted(values)) if math.isfinite(deviation) else None


def mean_and_deviation(values: Sequence[float]) -> tuple[float, float]:
    """Of at least two values, the deviation that of a sample; neither is finite where a value is not, or where they are too far apart."""
    # Without the module statistics, which raises then; equal values have exactly their own mean.
    mean = values[0] + sum(value - values[0] for value in values) / len(values)
    return mean, math.dist(values, [mean] * len(values)) / math.sqrt(len(values) - 1)


def recipe(row: Row, settings: Mapping[str, Any] | None) -> str:
    """Everything that two runs of one recipe have in common, as text."""
    record = row.record
    # The last checkpoint has seen what the run was given; where its best one lies depends on the seed.
    length = max(other.cost.images_seen for other in row.records.values())
    told = sorted((key, str(value)) for key, value in (settings or {}).items() if key != "seed_everything")
    cost = record.cost
    return canonical([to_json(record.model), record.config_name, to_json(record.answer), length, cost.warm_start_images, told])
