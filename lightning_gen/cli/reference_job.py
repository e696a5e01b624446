"""What ``reference`` does once its options are read."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from lightning_fabric import Fabric
from rich.console import Console

from lightning_gen import registry
from lightning_gen.cli.output import quiet
from lightning_gen.cli.processes import check_devices, launch
from lightning_gen.cli.scoring import progress_bar
from lightning_gen.errors import UserError
from lightning_gen.evaluation.api import OTHER_RESIZE, compute_reference
from lightning_gen.evaluation.named_references import Entry, dataset_names, export_statistics, import_statistics, survey
from lightning_gen.leaderboard.text import printable
from lightning_gen.metrics.reference_files import PLAIN_LAYOUT

quiet()  # here too: a process that is started for --devices imports this before Fabric has something to say

NETWORK_OPTIONS = ("extractor", "extractor_weights", "layer", "arithmetic")


def compute_references(options: argparse.Namespace) -> None:
    """Compute a reference and print how it is called."""
    quiet()
    check_devices(options.devices)
    images = options.images
    if options.split is not None:
        if ":" in images or images not in dataset_names():
            raise UserError(f"--split {options.split}: expected with the name of a data set alone, got {images}")
        images = f"{images}:{options.split}"
    arguments = {name: getattr(options, name) for name in (*NETWORK_OPTIONS, "root", "image_size")} | {"dialects": (options.dialect,)}
    print(in_words(launch(work, options.devices, images, arguments, options.trust)))


def work(fabric: Fabric, images: str, arguments: dict[str, Any], trust: list[str]) -> Entry:
    """One process's part; every process returns the entry."""
    quiet()
    for module in trust:
        registry.trust(module)
    with progress_bar(Console(stderr=True, quiet=fabric.global_rank != 0)) as progress:
        return compute_reference(images, **arguments, device=fabric.device, progress=progress)


def list_references(options: argparse.Namespace) -> None:
    """Print all references as a table, or as JSON; on stderr, a line for each damaged one."""
    found, damaged = survey()
    for line in damaged.values():
        print(f"warning: {printable(line)}", file=sys.stderr)
    rows = [_as_row(entry) for entry in found]
    if options.json:
        print(json.dumps(rows, indent=2))
        return
    from lightning_gen.leaderboard.render import print_table

    headers = ["name", "kind", "images", "count", "extractor", "preprocessing", "features"]
    print_table(headers, [[_cell(row[key]) for key in headers] for row in rows], notes=[f"references: {len(rows)}"])


def import_references(options: argparse.Namespace) -> None:
    """Keep a file's statistics under a name, and print what they are."""
    entry = import_statistics(options.file, options.name, options.extractor, options.dialect)
    print(in_words(entry))
    if options.dialect is None and PLAIN_LAYOUT in entry.images:
        print(printable(f"warning: {entry.name}: taken for dialect {entry.dialect}{OTHER_RESIZE}"), file=sys.stderr)


def export_references(options: argparse.Namespace) -> None:
    """Write a reference to a file, and print where."""
    path = export_statistics(options.name, options.file)
    print(printable(f"{options.name} in {path} (mu, sigma, root, count, card)"))


def in_words(entry: Entry) -> str:
    """How a reference is called, what it is of, and where it lies."""
    count = "an unknown number of" if entry.count is None else str(entry.count)
    sizes = f"{count} images, {entry.num_features} features of {entry.extractor} ({entry.preprocessing})"
    return printable(f"{entry.name}: {entry.images}, {sizes}, in {entry.path}")


def _as_row(entry: Entry) -> dict[str, Any]:
    row = {key: getattr(entry, key) for key in ("name", "kind", "images", "count", "extractor", "preprocessing")}
    return {**row, "features": entry.num_features, "path": str(entry.path)}


def _cell(value: Any) -> str:
    return "unknown" if value is None else printable(str(value))
