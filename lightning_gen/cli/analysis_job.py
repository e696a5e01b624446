"""What the analyses share once their options are read: the checkpoint with its data, and the report in the run's folder."""

from __future__ import annotations

import argparse
import json
import pathlib
from collections.abc import Sequence
from typing import Any

import torch

from lightning_gen.analysis.report import make_report, write_report
from lightning_gen.checkpoint import find_checkpoint, load_model
from lightning_gen.cli.evaluation_job import rebuild_data
from lightning_gen.cli.output import quiet
from lightning_gen.data.base import ImageDataModule
from lightning_gen.errors import UserError
from lightning_gen.leaderboard.render import print_table
from lightning_gen.models.base import GenerativeModel


def opened(options: argparse.Namespace) -> tuple[pathlib.Path, GenerativeModel, ImageDataModule]:
    """The checkpoint file, its model on the best device of this machine, and the data that it was trained on."""
    quiet()
    path = find_checkpoint(options.checkpoint)
    model = load_model(path)
    data = rebuild_data(model, path, options.root)
    data.prepare_data()
    return path, model.to("cuda" if torch.cuda.is_available() else "cpu"), data


def require_at_least(smallest: int, options: argparse.Namespace, *names: str) -> None:
    """Refuse options that are too small, by name."""
    for name in names:
        if getattr(options, name) < smallest:
            raise UserError(f"--{name}: expected at least {smallest}, got {getattr(options, name)}")


def publish(
    options: argparse.Namespace,
    path: pathlib.Path,
    model: GenerativeModel,
    protocol: dict[str, Any],
    results: dict[str, Any],
    name: str,
    table: tuple[Sequence[str], Sequence[Sequence[str]]],
    notes: Sequence[str] = (),
) -> None:
    """Print the table (or all as JSON), then write the report, so that a failing disk loses no result.

    Args:
        options: of the command line.
        path, model: what was analysed.
        protocol, results: for the report.
        name: of the report's file, which starts with the command, and ends with the protocol's hash and the checkpoint's name.
        table: headers and rows.
        notes: lines below the table.
    """
    report = make_report(name.partition("-")[0], path, model, options.weights, protocol, results)
    if options.json:
        print(json.dumps(report, indent=2, allow_nan=False))
    else:
        headers, rows = table
        print_table(headers, rows, numeric=frozenset(range(1, len(headers))), notes=notes)
    file = write_report(report, path, name)
    if not options.json:
        print(f"report: {file}")


def percent(share: float, spread: float | None = None) -> str:
    """``93.2 %`` or ``93.2 ± 1.1 %``."""
    return f"{100 * share:.1f} %" if spread is None else f"{100 * share:.1f} ± {100 * spread:.1f} %"
