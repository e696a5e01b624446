"""``lightning-gen leaderboard``: rank every result record below some folders."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable
from pathlib import Path

from lightning_gen.cli.arguments import Arguments
from lightning_gen.leaderboard.record import SUFFIX, ResultRecord
from lightning_gen.leaderboard.store import Skipped, find_results
from lightning_gen.leaderboard.table import Table, as_json, leaderboard
from lightning_gen.leaderboard.text import printable

DEFAULT_FOLDER = "runs"


def run(argv: list[str]) -> int:
    """Print the leaderboard; exit code 1 when there is nothing to rank (0 with ``--json``, which prints an empty list of tables)."""
    parser = Arguments("leaderboard", "Rank all result records, one table per protocol.")
    parser.add_argument(
        "--results", nargs="+", metavar="DIR", help=f"folders that are searched for result records (default: {DEFAULT_FOLDER})"
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print the tables as JSON instead")
    form.add_argument(
        "--html", metavar="OUT", help="write one self-contained page to a folder (OUT/index.html), or to a file *.html, instead"
    )
    arguments = parser.parse_args(argv)
    # Before the first run there is no such folder, which is no mistake; a folder that somebody names has to exist.
    found, skipped = find_results(arguments.results or filter(os.path.isdir, [DEFAULT_FOLDER]))
    tables = leaderboard(record for _, record in found)
    if arguments.json:
        print(json.dumps({"tables": [as_json(table) for table in tables], "skipped": _as_json(skipped)}, indent=2, allow_nan=False))
        return 0
    if arguments.html is None:
        _print_tables(tables)
    else:
        _write_page(tables, found, arguments.html)
    for path, reason in skipped:
        print(printable(f"lightning-gen leaderboard: skipped {path}: {reason}"), file=sys.stderr)
    if not tables:
        print(printable(_nothing_found(arguments.results or [DEFAULT_FOLDER])), file=sys.stderr)
    return 0 if tables else 1


def _print_tables(tables: list[Table]) -> None:
    if not tables:
        return
    # rich is needed here only: --json answers without it.
    from lightning_gen.leaderboard.render import print_leaderboard

    for table in tables:
        print_leaderboard(table)


def _write_page(tables: list[Table], found: Iterable[tuple[Path, ResultRecord]], out: str) -> None:
    # YAML and rich are needed here only.
    from lightning_gen.leaderboard.page.build import write_page
    from lightning_gen.leaderboard.page.run_files import run_folder_of

    folders = {id(record): folder for path, record in found if (folder := run_folder_of(path)) is not None}
    print(printable(f"page: {write_page(tables, folders, Path(out))}"))


def _as_json(skipped: Skipped) -> list[dict[str, str]]:
    return [{"path": str(path), "reason": reason} for path, reason in skipped]


def _nothing_found(folders: list[str]) -> str:
    return (
        f"lightning-gen leaderboard: no *{SUFFIX} in {', '.join(folders)}; make one with 'lightning-gen demo' "
        "or 'lightning-gen evaluate CHECKPOINT', or name other folders with --results"
    )
