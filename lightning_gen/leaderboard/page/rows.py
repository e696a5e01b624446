"""The rows of the page as plain data: numbers to sort by, and text to show; all text is printable, and none is markup."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Mapping
from datetime import UTC
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from lightning_gen.leaderboard.config_diff import LENGTH, Difference, Settings, differences, shipped_settings
from lightning_gen.leaderboard.page.commands import evaluation_command, file_word, training_commands
from lightning_gen.leaderboard.page.curves import curves_of
from lightning_gen.leaderboard.page.run_files import file_within, run_folder_of, sample_sheet, thumbnail
from lightning_gen.leaderboard.record import ResultRecord
from lightning_gen.leaderboard.render import answer_words, score_text
from lightning_gen.leaderboard.schema import canonical
from lightning_gen.leaderboard.sheet import SheetNoise, noise_of_sheet
from lightning_gen.leaderboard.table import Cell, Column, Row
from lightning_gen.leaderboard.text import as_typeset, count, number

Sortable = tuple[float | None, str]
"""What a cell is sorted by, and what it shows."""


def row_data(row: Row, file: Path | None, settings: Settings | None, columns: Mapping[Column, int], out: Path) -> dict[str, Any]:
    """Everything that the page shows of a row, as strict JSON data.

    Args:
        row: of the leaderboard.
        file: of its record; None where it is not on this machine.
        settings: of the run's configuration; None where it has none.
        columns: column -> its number on the page.
        out: folder of the page.
    """
    record = row.record
    folder = None if file is None else run_folder_of(file)
    config_differences = _differences(record, settings)
    return {
        "model": record.model.name,
        "kind": row.main_kind,
        "family": record.model.family,
        "config": record.config_name,
        "run": record.run_name,
        "seed": record.training_seed,
        **_circumstances(record),
        "wandb": {"id": record.wandb_id, "url": web_address(record.wandb_url)},
        "collapsed": _collapsed(row),
        "scores": {kind: {columns[column]: _score(cell) for column, cell in cells.items()} for kind, cells in row.cells.items()},
        "seeds": {},
        "recipe": None,
        "file": file_word(file),
        "superseded": row.superseded,
        "sheet": None if folder is None else _sheet(folder, record.cost.images_seen, out),
        "curves": curves_of(None if folder is None else file_within(folder, "metrics.csv"), row),
        "settings": None if settings is None else {key: "" if value is None else str(value) for key, value in settings.items()},
        "differences": None if config_differences is None else [[*difference] for difference in config_differences],
        "train": training_commands(record, folder if settings is not None else None, config_differences),
        "evaluate": evaluation_command(record, folder),
    }


def _circumstances(record: ResultRecord) -> dict[str, Any]:
    """When, where, at what cost and how a model answered."""
    cost = record.cost
    return {
        "date": [record.time.timestamp(), record.time.astimezone(UTC).strftime("%Y-%m-%d %H:%M")],
        "machine": record.machine,
        "code": record.code_version,
        "answer": answer_words(record.answer),
        "parameters": _counted(cost.parameters),
        "images": (
            cost.images_seen,
            count(cost.images_seen) + (f" after {count(cost.warm_start_images)}" if cost.warm_start_images else ""),
        ),
        "hours": (None, "") if cost.device_hours is None else (cost.device_hours, number(cost.device_hours)),
        "speed": (None, "") if cost.samples_per_second is None else _counted(cost.samples_per_second),
    }


def web_address(text: str | None) -> str | None:
    """``text`` where it is the address of a page on the web; None for anything else, such as ``javascript:``."""
    try:
        parts = urlsplit(text or "")
        return text if parts.scheme in ("http", "https") and parts.hostname and not set(text or "") & set(" \t\r\n\\") else None
    except ValueError:
        return None


def relative_address(path: Path, folder: Path) -> str | None:
    """The link from a page in ``folder`` to a file; None where there is no such way (another drive)."""
    try:
        return quote(Path(os.path.relpath(path, folder)).as_posix())
    except ValueError:
        return None


def _counted(value: float) -> Sortable:
    return value, count(value)


def _score(cell: Cell) -> dict[str, Any]:
    score = cell.score
    data = {
        "value": score.value if math.isfinite(score.value) else None,
        "text": as_typeset(score_text(cell)),
        "kind": score.kind,
        "uncertainty": score.uncertainty_kind,
        "floor": None if score.floor is None else number(score.floor),
        "notes": [str(note) for note in _notes(cell)],
    }
    return {key: value for key, value in data.items() if value not in (None, [])} | {"value": data["value"]}


def _notes(cell: Cell) -> list[Any]:
    notes = cell.score.details.get("notes")
    return notes if isinstance(notes, list) else []


def _collapsed(row: Row) -> str | None:
    """In words, where a score of the row's checkpoint says that its samples are collapsed."""
    for cell in row.cells[row.main_kind].values():
        if cell.score.details.get("collapsed") is True:
            return "; ".join(str(note) for note in _notes(cell)) or "the samples are collapsed"
    return None


def _differences(record: ResultRecord, settings: Settings | None) -> list[Difference] | None:
    base = None if settings is None else shipped_settings(record.config_name)
    if base is None or settings is None:
        return None
    found = differences(base, settings)
    return sorted(found, key=lambda difference: (difference.key != LENGTH, difference.key))


def _sheet(folder: Path, images_seen: int, out: Path) -> dict[str, Any] | None:
    sheet = sample_sheet(folder, images_seen)
    small = None if sheet is None else thumbnail(sheet[0])
    if sheet is None or small is None:
        return None
    when = {"images": count(sheet[1]), "same": sheet[1] == images_seen}
    return {"small": small, "link": relative_address(sheet[0], out), **when, "noise": _noise(noise_of_sheet(sheet[0]))}


def _noise(noise: SheetNoise | None) -> dict[str, Any] | None:
    """Labels as a short hash: two sheets have the same ones or not."""
    if noise is None:
        return None
    labels = None if noise.labels is None else hashlib.sha256(canonical(noise.labels).encode()).hexdigest()[:8]
    return {"seed": noise.seed, "draws": noise.draws, "columns": noise.columns, "labels": labels}
