"""``lightning-gen list``: the models, configurations, data sets and feature extractors that can be named."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import Any

from lightning_gen.cli.arguments import Arguments
from lightning_gen.leaderboard.text import printable
from lightning_gen.registry import class_path, registered

Entry = dict[str, Any]


def run(argv: list[str]) -> int:
    """Print what was asked for as tables, or as one JSON object with a list per kind."""
    parser = Arguments("list", "Show the models, configurations, data sets and feature extractors by name.")
    parser.add_argument("what", nargs="?", choices=[*KINDS], metavar="|".join(KINDS), help="what to show (all of them)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    arguments = parser.parse_args(argv)
    entries = {kind: find() for kind, find in KINDS.items() if arguments.what in (None, kind)}
    if arguments.json:
        print(json.dumps(entries, indent=2))
    else:
        _print_entries(entries)
    return 0


def _print_entries(entries: dict[str, list[Entry]]) -> None:
    from lightning_gen.leaderboard.render import print_table

    for kind, rows in entries.items():
        headers = [*dict.fromkeys(key for row in rows for key in row if key != "class")]
        print_table(headers, [[_cell(row[key]) for key in headers] for row in rows], notes=[f"{kind}: {len(rows)}"])


def _cell(value: object) -> str:
    """A table has room for the first line only; JSON has all of them."""
    return ", ".join(value) if isinstance(value, list) else str(value).partition("\n")[0]


def _models() -> list[Entry]:
    from lightning_gen import models
    from lightning_gen.models.base import GenerativeModel
    from lightning_gen.models.capabilities import describe

    classes = [getattr(models, name) for name in sorted(models.MODELS)]
    classes += [cls for cls in _registered_classes() if issubclass(cls, GenerativeModel)]
    return [{**describe(cls), "class": class_path(cls)} for cls in classes]


def _data() -> list[Entry]:
    from lightning_gen import data
    from lightning_gen.models.base import GenerativeModel

    classes = [getattr(data, name) for name in sorted(data.DATASETS)]
    classes += [cls for cls in _registered_classes() if not issubclass(cls, GenerativeModel)]
    return [{"name": cls.__name__, "summary": cls.summary, "class": class_path(cls)} for cls in classes]


def _extractors() -> list[Entry]:
    from lightning_gen.metrics.extractors import INCEPTION, extractor_names, known_extractors, read_card
    from lightning_gen.metrics.extractors.inception_weights import FILE_NAME, find_inception_weights, has_official_weights

    found = find_inception_weights()
    others = "" if found is None or has_official_weights() else " (not the official ones: its scores are called FD, CS and KD)"
    inception = f"weights: {found}{others}" if found else f"weights: {FILE_NAME} is downloaded once, when it is asked for by name"
    entries = [{"name": INCEPTION, "summary": f"Inception-v3 of 2015, the network of FID, IS and KID; {inception}"}]
    entries += [
        {"name": name, "summary": f"classifier in the package, trained on {read_card(name)['trained_on']}"} for name in extractor_names()
    ]
    known = {entry["name"] for entry in entries} | {"inception-v3-compat"}  # torch-fidelity's name of the first
    return entries + [{"name": name, "summary": "torch-fidelity's"} for name in known_extractors() if name not in known]


def _registered_classes() -> list[type]:
    """The classes of installed packages; one that cannot be loaded is named on stderr and left out."""
    classes = []
    for name, path in sorted(registered().items()):
        module, _, attribute = path.rpartition(".")
        try:
            classes.append(getattr(importlib.import_module(module), attribute))
        except (ImportError, AttributeError) as error:
            print(printable(f"lightning-gen list: {name} ({path}) cannot be loaded: {error}"), file=sys.stderr)
    return classes


def _configs() -> list[Entry]:
    from lightning_gen.configs import config_names

    return [{"name": name, "header": header(path)} for name, path in sorted(config_names().items())]


def header(path: Path) -> str:
    """The comment at the top of a configuration, up to its first empty line."""
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines():
        text = line.removeprefix("#").strip()
        if not line.startswith("#") or not text:
            break
        lines.append(text)
    return "\n".join(lines)


KINDS = {"models": _models, "configs": _configs, "data": _data, "extractors": _extractors}
