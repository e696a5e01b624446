"""Which records and which tables somebody asks for; a name that nothing has is refused with the nearest one."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from lightning_gen.errors import UserError, did_you_mean
from lightning_gen.leaderboard.record import ResultRecord
from lightning_gen.leaderboard.table import Table, leaderboard, rows_of, table_order, table_ranked_by


def chosen(records: Sequence[ResultRecord], *, dataset: str | None = None, family: str | None = None) -> list[ResultRecord]:
    """The records of a data set and of a family of models, of all where None.

    Raises:
        UserError: no record has such a name.
    """
    of_dataset = _having(records, "--dataset", dataset, lambda record: {score.protocol["dataset"] for score in record.scores})
    return _having(of_dataset, "--family", family, lambda record: {record.model.family})


def tables_of(records: Sequence[ResultRecord], metric: str | None = None) -> list[Table]:
    """The leaderboard; with a metric, every row that has it is ranked by it, whatever its data set's headline is.

    Args:
        records: of any protocols.
        metric: a score's name, or what stands before its parenthesis (``FD`` for every network's), in any case; None for the headlines.

    Raises:
        UserError: no record has such a score.
    """
    if metric is None:
        return leaderboard(records)
    _having(records, "--metric", metric, lambda record: {name for score in record.scores for name in (score.name, _short(score.name))})
    rows = rows_of(records)
    columns = {column for row in rows for column in row.columns if _same(metric, column.name, _short(column.name))}
    tables = [table_ranked_by(column, [row for row in rows if column in row.columns]) for column in columns]
    return sorted(tables, key=lambda table: table_order(table, True))


def _having(
    records: Sequence[ResultRecord], option: str, wanted: str | None, names: Callable[[ResultRecord], set[str]]
) -> list[ResultRecord]:
    """The records one of whose names is the wanted one; all where nothing is wanted, and none where there are none."""
    if wanted is None or not records:
        return [*records]
    found = [record for record in records if _same(wanted, *names(record))]
    if not found:
        known = {name for record in records for name in names(record)}
        raise UserError(f"{option}: no result has {wanted!r}; {did_you_mean(wanted, known)}")
    return found


def _same(wanted: str, *names: str) -> bool:
    return wanted.lower() in (name.lower() for name in names)


def _short(name: str) -> str:
    """``FD`` of ``FD(digits-cnn)``."""
    return name.partition("(")[0]
