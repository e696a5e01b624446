"""What ``sweep`` does once its grid is read: check all members, run them, rank them."""

from __future__ import annotations

import pathlib
import shlex
import sys

from lightning_gen.cli import leaderboard
from lightning_gen.cli.sweep_check import checked_members
from lightning_gen.cli.sweep_display import SweepDisplay
from lightning_gen.cli.sweep_grid import Grid
from lightning_gen.cli.sweep_places import places, usable_cores, usable_gpus
from lightning_gen.cli.sweep_runner import Runner
from lightning_gen.errors import Preempted
from lightning_gen.leaderboard.record import SUFFIX
from lightning_gen.leaderboard.text import printable


def run(grid: Grid, folder: pathlib.Path, jobs: int | None, dry_run: bool, argv: list[str]) -> int:
    """Run the members of ``grid`` in ``folder``; ``argv`` is what was given to the command, for the line that says how to go on."""
    members = checked_members(grid, folder)
    shares = places(jobs, len(members), usable_gpus(), usable_cores())
    if dry_run:
        for member in members:
            print(f"lightning-gen {shlex.join(member.command())}")
        return 0
    with SweepDisplay() as display:
        runner = Runner(members, shares, display)
        print(f"sweep: {len(members)} members, {len(shares)} at a time; folder: {folder}", file=sys.stderr)
        runner.run()
    return report(runner, shlex.join(["lightning-gen", "sweep", *argv]))


def report(runner: Runner, again: str) -> int:
    """Name the members that failed, rank those with results, and return the exit code.

    Args:
        runner: that has ended.
        again: the command that goes on where it stopped.

    Raises:
        Preempted: it was told to stop.
    """
    for row in runner.rows:
        if row.status == "failed":
            print(printable(f"failed: {row.member.label}: {row.text} (log: {row.member.log})"), file=sys.stderr)
    if runner.count("stopped") or runner.count("waiting") or runner.count("elsewhere"):
        done = f"{runner.count('finished')} of {len(runner.rows)} members have finished"
        raise Preempted(f"the sweep was told to stop; {done}, continue with: {again}")
    # Not the whole folder, which may hold members of another grid, or of an earlier state of this one.
    scored = [str(row.member.folder) for row in runner.rows if any(row.member.folder.rglob(f"*{SUFFIX}"))]
    if scored:
        leaderboard.run(["--results", *scored])
    failed = runner.count("failed")
    if failed:
        print(f"{failed} of {len(runner.rows)} members failed; try them again with: {printable(again)}", file=sys.stderr)
    return 1 if failed else 0
