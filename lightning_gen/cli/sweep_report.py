"""What is said when a sweep has ended."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from lightning_gen.cli import leaderboard
from lightning_gen.cli.sweep_runner import Row, Runner
from lightning_gen.errors import Preempted
from lightning_gen.leaderboard.record import SUFFIX
from lightning_gen.leaderboard.render import print_table
from lightning_gen.leaderboard.text import clock, printable


def report(runner: Runner, again: str) -> int:
    """Say which member is which run, rank those with results, name those that failed, and return the exit code.

    Args:
        runner: that has ended.
        again: the command that goes on where it stopped.

    Raises:
        Preempted: it, or one of its members, was told to stop.
    """
    if runner.count("stopped") or runner.count("waiting") or runner.count("elsewhere"):
        done = f"{runner.count('finished')} of {len(runner.rows)} members have finished"
        raise Preempted(f"stopped; {done}, continue with: {again}")
    # Not the whole folder, which may hold members of another grid, or of an earlier state of this one.
    scored = [str(row.member.folder) for row in runner.rows if any(row.member.folder.rglob(f"*{SUFFIX}"))]
    if scored:
        leaderboard.run(["--results", *scored])
    print_members(runner.rows)
    failed = [row for row in runner.rows if row.status == "failed"]
    for row in failed:
        print(printable(f"failed: {row.member.label}: {row.text} (log: {row.member.log})"), file=sys.stderr)
    if failed:
        print(f"{len(failed)} of {len(runner.rows)} members failed; try them again with: {printable(again)}", file=sys.stderr)
    return 1 if failed else 0


def print_members(rows: Sequence[Row]) -> None:
    """Which values led to which run and score: the leaderboard names runs."""
    values = list(rows[0].member.values)
    cells = []
    for row in rows:
        run = row.member.run()
        name = f"{run.parent.name}/{run.name}" if run else ""
        score = row.text if row.status == "finished" else ""
        cells.append([*row.member.values.values(), row.status, clock(row.seconds), score, name])
    print_table([*values, "status", "time", "score", "run"], cells)
