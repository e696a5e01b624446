"""``lightning-gen leaderboard``: rank every result record below some folders."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from lightning_gen.cli.arguments import Arguments
from lightning_gen.cli.comparison import show_comparison
from lightning_gen.errors import UserError
from lightning_gen.leaderboard.record import SUFFIX, ResultRecord
from lightning_gen.leaderboard.select import chosen, tables_of
from lightning_gen.leaderboard.store import Skipped, find_results, snapshot
from lightning_gen.leaderboard.table import Table, as_json
from lightning_gen.leaderboard.text import printable

DEFAULT_FOLDER = "runs"
SECONDS_BETWEEN_LOOKS = 2.0


def run(argv: list[str]) -> int:
    """Print the leaderboard; exit code 1 when there is nothing to rank (0 with ``--json``, which prints an empty list of tables)."""
    options = _parser().parse_args(argv)
    if options.compare:
        _refuse_beside_compare(options)
    folders = options.results or [DEFAULT_FOLDER]
    if options.watch and options.wandb:
        raise UserError("--watch: looks at folders only; expected it without --wandb")
    if options.watch:
        return watch(folders, lambda: show(options, folders), lambda: time.sleep(SECONDS_BETWEEN_LOOKS))
    return show(options, folders)


def _parser() -> Arguments:
    parser = Arguments("leaderboard", "Rank all result records, one table per protocol.")
    parser.add_argument(
        "--results", nargs="+", metavar="DIR", help=f"folders that are searched for result records (default: {DEFAULT_FOLDER})"
    )
    parser.add_argument("--wandb", metavar="ENTITY/PROJECT", help="the final scores in the summaries of a W&B project's runs too")
    parser.add_argument("--dataset", metavar="NAME", help="only results on this data set")
    parser.add_argument("--family", metavar="NAME", help="only models of this family")
    parser.add_argument("--metric", metavar="NAME", help="rank by this score, such as bits/dim, or FD for every network's")
    parser.add_argument("--compare", nargs=2, metavar=("A", "B"), help="say of each score of two runs, or configurations, which is better")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print the tables as JSON instead")
    form.add_argument(
        "--html", metavar="OUT", help="write one self-contained page to a folder (OUT/index.html), or to a file *.html, instead"
    )
    form.add_argument("--markdown", action="store_true", help="print the tables as Markdown instead")
    form.add_argument("--csv", action="store_true", help="print one line of CSV per score instead")
    form.add_argument("--watch", action="store_true", help="draw the tables anew whenever a result appears, until Ctrl-C")
    return parser


def _refuse_beside_compare(options: argparse.Namespace) -> None:
    """A comparison is of all scores of two runs, as lines or as JSON."""
    for name in ("wandb", "dataset", "family", "metric", "html", "markdown", "csv", "watch"):
        if getattr(options, name):
            raise UserError(f"--compare: expected alone, or with --results and --json, got --{name} too")


def show(options: argparse.Namespace, folders: list[str]) -> int:
    """Read everything and print it once, or write the page; returns the exit code."""
    # Before the first run there is no such folder, which is no mistake; a folder that somebody names has to exist.
    found, skipped = find_results(options.results or filter(os.path.isdir, [DEFAULT_FOLDER]))
    if options.compare:
        _print_skipped(skipped)
        a, b = options.compare
        return show_comparison(a, b, found, options.json)
    records = [record for _, record in found]
    if options.wandb:
        records, skipped = _with_wandb(options.wandb, records, skipped)
    tables = _tables(options, records)
    if options.json:
        print(json.dumps({"tables": _with_published(tables), "skipped": _as_json(skipped)}, indent=2, allow_nan=False))
        return 0
    if options.html is None:
        _print_tables(options, tables)
    else:
        _write_page(tables, found, options.html)
    _print_skipped(skipped)
    if not tables:
        print(printable(_nothing_found(folders)), file=sys.stderr)
    return 0 if tables else 1


def watch(folders: list[str], draw: Callable[[], object], wait: Callable[[], None]) -> int:
    """Draw whenever there is another set of result files than at the last look, until Ctrl-C.

    Args:
        folders: where results appear; one that goes away later, with the disk that it is on, may come back.
        draw: shows what there is.
        wait: returns when it is time to look again.

    Raises:
        UserError: what the first drawing complains of.
    """
    drawn = None
    try:
        while True:
            if (now := snapshot(folders)) != drawn:
                if sys.stdout.isatty():
                    print("\033[H\033[2J\033[3J", end="")  # to the top of an empty screen
                _draw(draw, again=drawn is not None)
                drawn = now
            wait()
    except KeyboardInterrupt:
        return 0


def _draw(draw: Callable[[], object], again: bool) -> None:
    try:
        draw()
    except UserError as error:
        if not again:
            raise
        print(printable(f"lightning-gen leaderboard: {error}"), file=sys.stderr)
    sys.stdout.flush()


def _with_wandb(project: str, records: list[ResultRecord], skipped: Skipped) -> tuple[list[ResultRecord], Skipped]:
    from lightning_gen.leaderboard.wandb_source import load_wandb, wandb_ids

    found, left_out = load_wandb(project, wandb_ids(records))
    return records + found, skipped + left_out


def _tables(options: argparse.Namespace, records: list[ResultRecord]) -> list[Table]:
    return tables_of(chosen(records, dataset=options.dataset, family=options.family), options.metric)


def _print_tables(options: argparse.Namespace, tables: list[Table]) -> None:
    if not tables:
        return
    # rich is needed here only: --json answers without it.
    from lightning_gen.leaderboard.formats import as_csv, as_markdown
    from lightning_gen.leaderboard.render import print_leaderboard

    if options.markdown or options.csv:
        print((as_markdown if options.markdown else as_csv)(tables), end="")
        return
    for table in tables:
        print_leaderboard(table)


def _write_page(tables: list[Table], found: Iterable[tuple[Path, ResultRecord]], out: str) -> None:
    # YAML and rich are needed here only.
    from lightning_gen.leaderboard.page.build import write_page

    files = {id(record): path for path, record in found}
    print(printable(f"page: {write_page(tables, files, Path(out))}"))


def _print_skipped(skipped: Skipped) -> None:
    for path, reason in skipped:
        print(printable(f"lightning-gen leaderboard: skipped {path}: {reason}"), file=sys.stderr)


def _with_published(tables: list[Table]) -> list[dict[str, Any]]:
    if not tables:
        return []
    # YAML is needed here only.
    from lightning_gen.leaderboard.literature import published_as_json

    return [as_json(table) | {"published": published_as_json(table)} for table in tables]


def _as_json(skipped: Skipped) -> list[dict[str, str]]:
    return [{"path": str(path), "reason": reason} for path, reason in skipped]


def _nothing_found(folders: list[str]) -> str:
    return (
        f"lightning-gen leaderboard: no *{SUFFIX} in {', '.join(folders)}; make one with 'lightning-gen demo' "
        "or 'lightning-gen evaluate CHECKPOINT', or name other folders with --results"
    )
