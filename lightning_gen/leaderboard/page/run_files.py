"""What the page shows of a run's folder; nothing outside of it is read or linked, whatever a record, a name or a link says."""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path

RESULTS = "results"
"""The folder within a run's that holds its records."""

MOST_BYTES = 64 * 2**20
"""Larger files are left alone."""

MOST_PIXELS = 2**25
"""A larger picture is left alone as well: a small file can hold one that fills the memory."""

THUMBNAIL = 96
"""Longest side of an embedded sheet, in pixels."""


def run_folder_of(record_file: Path) -> Path | None:
    """The folder of the run that a record lies in, by where the file is and not by what it says; None where it lies elsewhere."""
    folder = record_file.parent if record_file.parent.name else record_file.absolute().parent
    return folder.parent if folder.name == RESULTS else None


def file_within(folder: Path, name: str) -> Path | None:
    """A regular file of moderate size within ``folder``; None for anything else, such as a link that leads out of it."""
    try:
        root, path = folder.resolve(), (folder / name).resolve()
        usable = path.is_relative_to(root) and path.is_file() and path.stat().st_size <= MOST_BYTES
    except (OSError, ValueError, RuntimeError):  # a loop of links, a null byte
        return None
    return path if usable else None


def sample_sheet(folder: Path, images_seen: int) -> tuple[Path, int] | None:
    """The sheet of samples drawn nearest to ``images_seen``, not later if there is one, and when it was drawn; None without sheets."""
    names = (re.fullmatch(r"samples_(\d{1,18})\.png", path.name) for path in (folder / "pictures").glob("samples_*.png"))
    sheets = sorted((int(match[1]), match[0]) for match in names if match)
    earlier = [sheet for sheet in sheets if sheet[0] <= images_seen]
    for images, name in [*reversed(earlier), *(sheet for sheet in sheets if sheet not in earlier)]:
        path = file_within(folder, f"pictures/{name}")
        if path is not None:
            return path, images
    return None


def thumbnail(path: Path) -> str | None:
    """A small copy of a picture as a ``data:`` address; None where the file is no PNG that can be read."""
    from PIL import Image  # through torchvision; needed for no other view of the leaderboard

    try:
        with Image.open(path, formats=["PNG"]) as picture:
            if picture.width * picture.height > MOST_PIXELS:
                return None
            small = picture.convert("RGB")
        if max(small.size) > THUMBNAIL:
            small.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS)
        data = io.BytesIO()
        small.save(data, "WEBP", quality=45, method=2)  # half the time of the default, for a twentieth more bytes
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError):  # all of them what Pillow says of a damaged file
        return None
    return f"data:image/webp;base64,{base64.b64encode(data.getvalue()).decode()}"
