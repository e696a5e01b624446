"""Published numbers beside ours: never ranked with them, each with what its source states otherwise of the protocol."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml

from lightning_gen.errors import UserError
from lightning_gen.leaderboard.record import Better
from lightning_gen.leaderboard.schema import decode, to_json
from lightning_gen.leaderboard.table import Column, Table

FILE = Path(__file__).with_name("published.yaml")

Status = Literal["verified in the source", "as quoted"]
Kind = Literal["exact", "lower bound", "k-sample bound"]


@dataclass(frozen=True, kw_only=True)
class Row:
    """One published system; what it leaves open its group says.

    Args:
        system: what its source calls it.
        scores: name -> value.
        uncertainty: name -> what its source writes after ±.
        kind: what a likelihood is.
        likelihood_samples: k of a k-sample bound.
        status: how the numbers got here.
        remark: what the protocol has no key for.
    """

    system: str
    scores: dict[str, float]
    uncertainty: dict[str, float] = field(default_factory=dict)
    kind: Kind | None = None
    likelihood_samples: int | None = None
    status: Status | None = None
    remark: str | None = None


@dataclass(frozen=True, kw_only=True)
class Group:
    """Rows of one source under one protocol.

    Args:
        source: who published them.
        status: how the numbers got here.
        dataset: the name of ours that they were measured on.
        rows: the systems.
        where: within the source.
        protocol: what the source states, by the keys of our protocols.
        kind, likelihood_samples, remark: of every row that has none of its own; both remarks are told.
    """

    source: str
    status: Status
    dataset: str
    rows: list[Row]
    where: str | None = None
    protocol: dict[str, Any] = field(default_factory=dict)
    kind: Kind | None = None
    likelihood_samples: int | None = None
    remark: str | None = None


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What a configuration follows.

    Args:
        source, system: the published row.
        model: the class that trains it.
        hyperparameters: of the model, those without which it is another recipe.
        images_per_update: real images that belong to a generator update.
        updates: generator updates at which the row's scores were reached; None where only the curve counts.
        curve: generator updates -> FID on the way.
        remark: how the protocol is not quite the same.
    """

    source: str
    system: str
    model: str
    images_per_update: int
    hyperparameters: dict[str, Any] = field(default_factory=dict)
    updates: int | None = None
    curve: dict[int, float] = field(default_factory=dict)
    remark: str = ""


@dataclass(frozen=True, kw_only=True)
class Literature:
    """The whole file.

    Args:
        datasets: name -> what every source means by it unless it says otherwise, by the keys of our protocols.
        groups: the numbers.
        recipes: by the name of the configuration.
    """

    datasets: dict[str, Any]
    groups: list[Group]
    recipes: dict[str, Any]

    def recipe(self, config: str) -> tuple[Recipe, Group, Row]:
        """A recipe with the row that it is about."""
        recipe = decode(Recipe, self.recipes[config], f"recipes.{config}")
        for group in self.groups:
            for row in group.rows:
                if (group.source, row.system) == (recipe.source, recipe.system):
                    return recipe, group, row
        raise UserError(f"recipes.{config}: no row of {recipe.source!r} is called {recipe.system!r}")


@functools.cache
def literature() -> Literature:
    """What :data:`FILE` holds.

    Raises:
        UserError: the file says something else than it may.
    """
    # The parser in C reads it in a tenth of the time; not every build of PyYAML has it.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return decode(Literature, yaml.load(FILE.read_text(encoding="utf-8"), loader), "")


@dataclass(frozen=True, kw_only=True)
class Beside:
    """One published number beside a column of ours.

    Args:
        score, better: as the column's.
        differences: what its protocol says otherwise than ours, one line each; what its source does not state is not among them.
        protocol: what its source states.
    """

    system: str
    score: str
    better: Better
    value: float
    uncertainty: float | None
    kind: Kind | None
    likelihood_samples: int | None
    source: str
    status: Status
    remark: str
    differences: list[str]
    protocol: dict[str, Any]


def published_beside(table: Table) -> list[Beside]:
    """The published numbers of a table's scores on its data set: of the score that ranks first, those of the most alike protocols first."""
    columns: dict[str, Column] = {}
    for column in table.columns:
        columns.setdefault(column.name, column)
    protocols = {name: table.scores(column)[0].protocol for name, column in columns.items()}
    found = [
        _beside(group, row, columns[name], protocols[name])
        for group in literature().groups
        for row in group.rows
        for name in row.scores
        if name in columns and group.dataset == protocols[name]["dataset"]
    ]
    order = [*columns]
    return sorted(found, key=lambda beside: (order.index(beside.score), len(beside.differences), beside.value))


def _beside(group: Group, row: Row, column: Column, ours: Mapping[str, Any]) -> Beside:
    protocol = {**literature().datasets.get(group.dataset, {}), **group.protocol}
    return Beside(
        system=row.system,
        score=column.name,
        better=column.better,
        value=row.scores[column.name],
        uncertainty=row.uncertainty.get(column.name),
        kind=row.kind or group.kind,
        likelihood_samples=row.likelihood_samples or group.likelihood_samples,
        source=f"{group.source} ({group.where})" if group.where else group.source,
        status=row.status or group.status,
        remark="; ".join(filter(None, (group.remark, row.remark))),
        differences=differences(protocol, ours),
        protocol={"dataset": group.dataset, **protocol},
    )


UNUSUAL = ("labels", "only_classes", "standing_statistics", "debiased")
"""What of our protocols makes another question of it, and no source means unless it says so."""


def differences(published: Mapping[str, Any], ours: Mapping[str, Any]) -> list[str]:
    """``binarization static, here dynamic`` for every key that both protocols have, ours also within its preprocessing."""
    preprocessing = ours.get("preprocessing")
    known = {**ours, **(preprocessing if isinstance(preprocessing, Mapping) else {})}
    told = [f"{key} {value}, here {known[key]}" for key, value in published.items() if key in known and known[key] != value]
    return told + [f"here {key} {ours[key]}" for key in UNUSUAL if key in ours and key not in published]


def published_as_json(table: Table) -> list[dict[str, Any]]:
    """:func:`published_beside` as strict JSON data."""
    return [to_json(beside) for beside in published_beside(table)]
