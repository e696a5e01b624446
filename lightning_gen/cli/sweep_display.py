"""A sweep while it runs: a table that changes on a terminal, a line for each change elsewhere."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from types import TracebackType

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from lightning_gen.cli.sweep_runner import Row
from lightning_gen.leaderboard.text import clock, printable

REDRAW_SECONDS = 0.5

STYLES = {"running": "cyan", "finished": "green", "failed": "red", "stopped": "yellow", "elsewhere": "yellow", "waiting": "dim"}
"""By status, in the order in which rows are shown where not all of them fit."""

OTHER_LINES = 6
"""Of a terminal: the table's head, its frame and the summary."""


class SweepDisplay:
    """What a sweep shows on stderr; used as a context.

    Args:
        console: where; by default stderr.
    """

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True, highlight=False, emoji=False)
        self._live = Live(console=self.console, auto_refresh=False) if self.console.is_terminal else None
        self._next = 0.0

    def __enter__(self) -> SweepDisplay:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._live:
            self._live.stop()

    def changed(self, rows: Sequence[Row], row: Row) -> None:
        """One line where there is no table; the table at once."""
        if self._live:
            self._next = 0.0
            return
        parts = [row.status, printable(row.member.label), *([clock(row.seconds)] if row.seconds else []), *([row.text] if row.text else [])]
        self.console.print(Text(f"{done(rows)} of {len(rows)} done: " + "  ".join(parts)), soft_wrap=True)

    def show(self, rows: Sequence[Row]) -> None:
        """The table, now and then."""
        if self._live and time.monotonic() >= self._next:
            self._next = time.monotonic() + REDRAW_SECONDS
            self._live.update(Group(table(rows, self.console.height - OTHER_LINES), Text(summary(rows))), refresh=True)


def done(rows: Sequence[Row]) -> int:
    """How many members have ended, well or not."""
    return sum(row.status in ("finished", "failed") for row in rows)


def summary(rows: Sequence[Row]) -> str:
    """``3 of 12 done: 2 running, 2 finished, 1 failed, 7 waiting``."""
    counts: Counter[str] = Counter(row.status for row in rows)
    return f"{done(rows)} of {len(rows)} done: " + ", ".join(f"{counts[status]} {status}" for status in STYLES if counts[status])


def table(rows: Sequence[Row], height: int) -> Table:
    """A row for each member, in the order of the grid; where there is no room for all, those in which most happens."""
    order = list(STYLES)
    shown = sorted(range(len(rows)), key=lambda index: order.index(rows[index].status))[: max(1, height)]
    names = list(rows[0].member.values)
    shape = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, expand=True)
    for name in names or ["member"]:
        shape.add_column(_shortened(printable(name)))
    shape.add_column("status", no_wrap=True)
    shape.add_column("time", justify="right", no_wrap=True)
    shape.add_column("", ratio=1)
    for index in sorted(shown):
        row = rows[index]
        values = [_shortened(printable(value)) for value in row.member.values.values()] or [_shortened(row.member.label)]
        seconds = clock(row.seconds) if row.seconds else ""
        shape.add_row(*values, Text(row.status, style=STYLES[row.status]), seconds, _shortened(row.text))
    return shape


def _shortened(words: str) -> Text:
    """What gives way in a narrow terminal, so that status and time do not: the table takes it for text that wraps."""
    return Text(words, no_wrap=True, overflow="ellipsis")
