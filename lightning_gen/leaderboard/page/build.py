"""Tables and run folders to one HTML file that needs no network: styles, scripts, data and small pictures are all in it."""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

from lightning_gen.files import complete
from lightning_gen.leaderboard.config_diff import Settings, read_settings
from lightning_gen.leaderboard.page.rows import row_data
from lightning_gen.leaderboard.page.run_files import file_within, run_folder_of
from lightning_gen.leaderboard.page.verdicts import verdict_data
from lightning_gen.leaderboard.render import USUAL, captions, label_of, published_grid
from lightning_gen.leaderboard.seeds import seed_groups, spread
from lightning_gen.leaderboard.table import Column, Row, Table
from lightning_gen.leaderboard.text import as_typeset, number, printable

SCRIPTS = ("dom.js", "plots.js", "table.js", "sheets.js", "verdicts.js", "details.js", "page.js")
"""In the order in which they build on each other."""

PAGE = "index.html"

POLICY = "default-src 'none'; img-src 'self' file: data:; base-uri 'none'; form-action 'none'"
"""What a browser may do for the page, besides its own scripts and styles: show pictures that lie beside it."""

MOST_SCORES = 4
"""Columns of scores that a table begins with; its menu has the others."""


def write_page(tables: Sequence[Table], files: Mapping[int, Path], out: Path) -> Path:
    """Write the page and return its path.

    Args:
        tables: of the leaderboard.
        files: ``id`` of a record -> the file that it was read from.
        out: the folder for ``index.html``, or a file that ends in ``.html``.

    Raises:
        UserError: it cannot be written.
    """
    path = out if out.suffix.lower() in (".html", ".htm") else out / PAGE
    text = render_page(page_data(tables, files, path.parent))
    with complete(path) as partial:
        partial.write_text(text, encoding="utf-8")
    return path


def page_data(tables: Sequence[Table], files: Mapping[int, Path], out: Path) -> dict[str, Any]:
    """What the page shows, as strict JSON data; every row once, however many tables it stands in."""
    rows = list({id(row): row for table in tables for _, row in table.rows}.values())
    places = {id(row): place for place, row in enumerate(rows)}
    columns = {column: place for place, column in enumerate(sorted({column for row in rows for column in row.columns}))}
    row_files = {id(row): files.get(id(row.record)) for row in rows}
    settings = {key: found for key, file in row_files.items() if (found := _settings(file)) is not None}
    data = [row_data(row, row_files[id(row)], settings.get(id(row)), columns, out) for row in rows]
    recipes = seed_groups(rows, settings)
    for number_of_recipe, group in enumerate(recipes):
        told = {"seeds": _spreads(group, columns), "recipe": number_of_recipe}
        for row in group:
            data[places[id(row)]].update(told)
    return _printable(
        {
            "tables": [_table_data(table, columns, places) for table in tables],
            "rows": data,
            "settings": _shared_settings(data),
            "verdicts": verdict_data(tables, rows, recipes, columns, files),
        }
    )


def _spreads(group: Sequence[Row], columns: Mapping[Column, int]) -> dict[int, dict[str, Any]]:
    """Number of a column -> the score of a recipe's runs over their seeds."""
    found = {columns[column]: spread(group, column) for row in group for column in row.columns}
    return {
        place: {"mean": each.mean, "text": f"{number(each.mean)} ± {each.deviation:.2g}", "seeds": each.seeds}
        for place, each in found.items()
        if each is not None
    }


def _shared_settings(rows: list[dict[str, Any]]) -> list[list[str]]:
    """Every setting of any row, once; the rows keep their numbers: of forty settings two runs share most."""
    numbers: dict[tuple[str, str], int] = {}
    for row in rows:
        if row["settings"] is not None:
            row["settings"] = [numbers.setdefault(setting, len(numbers)) for setting in row["settings"].items()]
    return [[*setting] for setting in numbers]


def render_page(data: dict[str, Any]) -> str:
    """The page that shows ``data``.

    The data are no script and cannot end their element; the browser runs the scripts with the hashes given here and loads nothing from
    elsewhere.
    """
    assets = files(__package__)
    style = (assets / "page.css").read_text(encoding="utf-8")
    script = "\n".join((assets / name).read_text(encoding="utf-8") for name in SCRIPTS)
    policy = f"{POLICY}; script-src '{_hash(script)}'; style-src '{_hash(style)}'"
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    safe = text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    template = Template((assets / "page.html").read_text(encoding="utf-8"))
    return template.substitute(policy=escape(policy), style=style, script=script, data=safe)


def _hash(content: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}"


def _settings(file: Path | None) -> Settings | None:
    folder = None if file is None else run_folder_of(file)
    path = None if folder is None else file_within(folder, "config.yaml")
    return None if path is None else read_settings(path)


def _table_data(table: Table, columns: Mapping[Column, int], places: Mapping[int, int]) -> dict[str, Any]:
    protocol = table.scores(table.ranked_by)[0].protocol
    others = sorted(table.columns[1:], key=lambda column: [not column.name.startswith(start) for start in USUAL])
    usual = {table.ranked_by, *others[: MOST_SCORES - 1]}
    return {
        "dataset": protocol["dataset"],
        "split": protocol["split"],
        "fingerprint": table.ranked_by.fingerprint,
        "ranked_by": columns[table.ranked_by],
        "columns": [_column_data(table, column, columns[column], column in usual) for column in table.columns],
        "words": captions(table),
        "published": _published(table),
        "rows": [[rank, places[id(row)]] for rank, row in table.rows],
    }


def _published(table: Table) -> dict[str, Any] | None:
    """Headers, a line for each published number, which stand apart from the rows, and which columns are numbers."""
    grid = published_grid(table)
    if grid is None:
        return None
    return {"headers": grid.headers, "rows": [[*map(as_typeset, row)] for row in grid.rows], "numeric": sorted(grid.numeric)}


def _column_data(table: Table, column: Column, place: int, usual: bool) -> dict[str, Any]:
    floors = sorted({score.floor for score in table.scores(column) if score.floor is not None})
    return {
        "id": place,
        "label": label_of(table, column),
        "name": column.name,
        "fingerprint": column.fingerprint,
        "better": column.better,
        "usual": usual,
        "floor": floors[0] if len(floors) == 1 else None,
        "floor_text": " to ".join(dict.fromkeys(number(floor) for floor in (floors[:1] + floors[-1:]))),
    }


def _printable(value: Any) -> Any:
    """All strings without control, direction and surrogate characters, which change how text around them reads; finite numbers."""
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, dict):
        return {printable(key): _printable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_printable(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
