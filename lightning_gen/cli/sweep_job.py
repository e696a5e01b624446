"""What ``sweep`` does once its grid is read: check all members, run them, rank them."""

from __future__ import annotations

import pathlib
import shlex
import sys

from lightning_gen.cli.sweep_check import checked_members
from lightning_gen.cli.sweep_display import SweepDisplay
from lightning_gen.cli.sweep_grid import Grid
from lightning_gen.cli.sweep_places import places, usable_cores, usable_gpus
from lightning_gen.cli.sweep_report import report
from lightning_gen.cli.sweep_runner import Runner


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
