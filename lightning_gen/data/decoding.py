"""Image files to one uint8 array on disk: decoded once, found again by a key of what was decoded and how, memory-mapped from then on."""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
import pathlib
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from PIL import Image, ImageOps
from rich.console import Console
from rich.progress import track

from lightning_gen.data.preprocessing import RESAMPLING
from lightning_gen.errors import UserError
from lightning_gen.noise import blocks

UNREADABLE = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)
"""What PIL raises for a file that is no image, is truncated, or is broken in the middle."""


@dataclass(frozen=True)
class Decoding:
    """How a file becomes pixels: upright (EXIF), 8 bits, central square, then resized with PIL's antialiased Lanczos filter.

    Args:
        image_size: pixels a side of the result.
        channels: 1 (luma) or 3 (RGB; transparency is dropped).
        crop: pixels a side of the central square; None for the largest one.
    """

    image_size: int
    channels: int = 3
    crop: int | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """``(C, H, W)`` of the result."""
        return self.channels, self.image_size, self.image_size

    def decode(self, data: bytes) -> np.ndarray:
        """The bytes of a file to uint8 ``(C, H, W)``; raises one of :data:`UNREADABLE`."""
        with Image.open(io.BytesIO(data)) as image:
            if image.mode[0] in "IF":
                raise ValueError(f"{image.mode} has more than 8 bits per channel")
            upright = ImageOps.exif_transpose(image).convert("L" if self.channels == 1 else "RGB")
        side = self.crop or min(upright.size)
        if side > min(upright.size):
            raise ValueError(f"{upright.width}x{upright.height} pixels are too few for the central {side}x{side}")
        left, top = (upright.width - side) // 2, (upright.height - side) // 2
        square = upright.crop((left, top, left + side, top + side)).resize((self.image_size, self.image_size), RESAMPLING)
        return np.asarray(square).reshape(self.image_size, self.image_size, self.channels).transpose(2, 0, 1)


@dataclass(frozen=True)
class Decoded:
    """What became of a list of files.

    Args:
        images: uint8 ``(N, C, H, W)``, memory-mapped.
        kept: which of the files these are.
        skipped: ``[path, reason]`` of every unreadable file.
        fingerprint: hash of the paths and bytes of the kept files: the same on every machine.
    """

    images: np.ndarray
    kept: list[int]
    skipped: list[list[str]]
    fingerprint: str


class UnreadableImageError(UserError):
    """A file is no image, or a broken one."""


def decoded(root: pathlib.Path, files: Sequence[str], decoding: Decoding, cache: pathlib.Path, stop: bool) -> Decoded:
    """The images of ``files`` (relative to ``root``), from the cache folder or decoded into it.

    Raises:
        UnreadableImageError: a file is unreadable and ``stop`` is set, or none is readable.
        UserError: a file is missing, or the cache cannot be written.
    """
    key = cache_key(root, files, decoding)
    pixels, notes = cache / f"{key}.npy", cache / f"{key}.json"
    if not (pixels.exists() and notes.exists()):
        _make_room(cache, len(files) * math.prod(decoding.shape))
        _decode_all(root, files, decoding, pixels, notes, stop)
    content = json.loads(notes.read_text())
    if content["skipped"] and stop:
        raise unreadable(root, *content["skipped"][0])
    return Decoded(images=np.load(pixels, mmap_mode="r"), **content)


def cache_key(root: pathlib.Path, files: Sequence[str], decoding: Decoding) -> str:
    """A hash of the folder, the files' paths, sizes and modification times, and the preprocessing."""
    digest = hashlib.blake2b(repr((str(root.resolve()), asdict(decoding))).encode(), digest_size=16)
    for file in files:
        try:
            status = (root / file).stat()
        except OSError as error:
            raise UserError(f"data.root: expected the image {root / file}, which cannot be found ({error.strerror})") from error
        digest.update(f"\0{file}\0{status.st_size}\0{status.st_mtime_ns}".encode())
    return digest.hexdigest()


def unreadable(root: pathlib.Path, file: str, reason: str) -> UnreadableImageError:
    """The line that names a broken file."""
    return UnreadableImageError(f"data.root: {root / file} cannot be read ({reason}); repair or remove it")


def _make_room(cache: pathlib.Path, num_bytes: int) -> None:
    """Create the cache folder; a full disk would kill the process in the middle of writing a memory-mapped file."""
    try:
        cache.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=cache).close()
    except OSError as error:
        raise UserError(f"decoded images cannot be written to {cache} ({error.strerror}); expected a folder that can be written") from error
    free = shutil.disk_usage(cache).free
    if free < num_bytes:
        raise UserError(f"decoded images need {num_bytes / 1e9:.1f} GB in {cache}, where {free / 1e9:.1f} GB are free")


def _decode_all(
    root: pathlib.Path, files: Sequence[str], decoding: Decoding, pixels: pathlib.Path, notes: pathlib.Path, stop: bool
) -> None:
    """Write the array and, last, the notes without which it does not count; each appears at once, so that concurrent runs agree."""
    with _replacing(pixels) as temporary:
        array = np.lib.format.open_memmap(temporary, "w+", np.uint8, (len(files), *decoding.shape))
        content = _fill(array, root, files, decoding, stop)
        _shorten(array, len(content["kept"]), temporary)
    with _replacing(notes) as temporary:
        temporary.write_text(json.dumps(content))


def _fill(array: np.ndarray, root: pathlib.Path, files: Sequence[str], decoding: Decoding, stop: bool) -> dict[str, Any]:
    """Put the readable images into the first rows of ``array``; returns the other fields of :class:`Decoded`."""
    kept: list[int] = []
    skipped: list[list[str]] = []
    digest = hashlib.blake2b(digest_size=16)
    for index, (image, outcome) in enumerate(_read_all(root, files, decoding)):
        if image is not None:
            array[len(kept)] = image
            kept.append(index)
            digest.update(f"{files[index]}\0{outcome}\0".encode())
        elif stop:
            raise unreadable(root, files[index], outcome)
        else:
            skipped.append([files[index], outcome])
    if not kept:
        raise unreadable(root, *skipped[0])
    return {"kept": kept, "skipped": skipped, "fingerprint": digest.hexdigest()}


def _read_all(root: pathlib.Path, files: Sequence[str], decoding: Decoding) -> Iterator[tuple[np.ndarray | None, str]]:
    """:func:`_read` of every file in order, by several threads, with a progress bar when it takes a while."""
    steps = list(blocks(len(files)))
    bar = track(steps, f"Decoding {root.name}", console=Console(stderr=True), transient=True, disable=len(steps) < 8)
    # PIL releases the interpreter lock; a block at a time bounds what waits in memory.
    with ThreadPoolExecutor() as pool:
        for block in bar:
            yield from pool.map(lambda file: _read(root / file, decoding), files[block.start : block.stop])


def _read(file: pathlib.Path, decoding: Decoding) -> tuple[np.ndarray | None, str]:
    """The image and the hash of its bytes, or None and why not."""
    try:
        data = file.read_bytes()
        return decoding.decode(data), hashlib.blake2b(data, digest_size=16).hexdigest()
    except UNREADABLE as error:
        return None, str(error).partition("\n")[0]


def _shorten(array: np.ndarray, count: int, path: pathlib.Path) -> None:
    """Keep the first ``count`` rows of the array in the file ``path``."""
    if count < len(array):
        with _replacing(path) as temporary:
            shorter = np.lib.format.open_memmap(temporary, "w+", np.uint8, (count, *array.shape[1:]))
            shorter[:] = array[:count]


@contextmanager
def _replacing(target: pathlib.Path) -> Iterator[pathlib.Path]:
    """A temporary file that takes the name ``target`` at once when the block ends well, and is removed when it does not."""
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=target.name, suffix=".partial")
    os.close(handle)
    temporary = pathlib.Path(name)
    try:
        yield temporary
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
