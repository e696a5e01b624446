"""Images in files as a stream: a folder of pictures, or the array of an ``.npz`` or ``.npy`` file, read block by block."""

from __future__ import annotations

import io
import pathlib
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from lightning_gen.data.decoding import UNREADABLE, Decoding
from lightning_gen.data.image_folder import EXTENSIONS, class_folders, image_files, split_folder
from lightning_gen.errors import UserError
from lightning_gen.evaluation.content import hash_of_file, hash_of_files
from lightning_gen.evaluation.streams import ImageStream

UPRIGHT = 0x0112
"""EXIF's tag of the orientation; from 5 on, it exchanges width and height."""

GREY_MODES = ("1", "L")

LABEL_NAMES = ("arr_1", "labels", "label", "y")
STATISTICS_NAMES = ("mu", "sigma")


def subset(count: int, num_samples: int | None, name: str) -> np.ndarray:
    """Which of ``count`` images are meant by ``num_samples``: all, or so many at even distances, so that a sorted set keeps its mixture."""
    if num_samples is None:
        return np.arange(count)
    if not 1 <= num_samples <= count:
        raise UserError(f"num_samples: expected 1 to {count}, the number of images in {name}, got {num_samples}")
    return np.arange(num_samples) * count // num_samples


# A folder of pictures.


@dataclass(frozen=True)
class Header:
    """What a picture says of itself before its pixels are decoded.

    Args:
        size: (width, height), upright.
        mode: PIL's name of the kind of pixels.
        format: ``PNG``, ``JPEG``, ...
    """

    size: tuple[int, int]
    mode: str
    format: str


def folder_stream(folder: pathlib.Path, num_samples: int | None = None, image_size: int | None = None) -> ImageStream:
    """All pictures below a folder, by relative path; subfolders of which there are two or more, and no picture beside them, are classes.

    Args:
        folder: the folder.
        num_samples: so many of them, evenly spread; None for all.
        image_size: cut out the largest central square and resize it to so many pixels (antialiased Lanczos); None for pictures as they are.

    Raises:
        UserError: there is no picture, one is unreadable, or they differ in size.
    """
    files = image_files(folder, folder)
    if not files:
        raise UserError(f"{folder}: no images (looked for {' '.join(EXTENSIONS)})")
    files = [files[index] for index in subset(len(files), num_samples, str(folder))]
    headers = [_header(folder / file) for file in files]
    channels = 1 if all(header.mode in GREY_MODES for header in headers) else 3
    width, height = (image_size, image_size) if image_size else _common_size(folder, files, headers)
    labels, class_names = _classes(folder, files)
    return ImageStream(
        name=folder.resolve().name,
        count=len(files),
        draw=_pictures(folder, files, _decoder(channels, image_size)),
        shape=(channels, height, width),
        labels=labels,
        key={
            "files": hash_of_files(folder, files),
            "formats": dict(sorted(Counter(header.format for header in headers).items())),
            "preprocessing": {"image_size": image_size, "channels": channels},
        },
        class_names=class_names,
    )


def _header(file: pathlib.Path) -> Header:
    try:
        with Image.open(file) as image:
            if image.mode[0] in "IF":
                raise ValueError(f"{image.mode} has more than 8 bits per channel")
            turned = image.getexif().get(UPRIGHT, 1) >= 5
            return Header(image.size[::-1] if turned else image.size, image.mode, str(image.format))
    except UNREADABLE as error:
        raise _unreadable(file, error) from error


def _unreadable(file: pathlib.Path, error: Exception) -> UserError:
    reason = "not an image" if isinstance(error, Image.UnidentifiedImageError) else str(error).partition("\n")[0]
    return UserError(f"{file}: cannot be read ({reason}); repair or remove it")


def _common_size(folder: pathlib.Path, files: Sequence[str], headers: Sequence[Header]) -> tuple[int, int]:
    """(width, height) of all pictures."""
    first = headers[0].size
    other = next((index for index, header in enumerate(headers) if header.size != first), None)
    if other is not None:
        sizes = [f"{files[index]} has {'x'.join(map(str, headers[index].size))}" for index in (0, other)]
        smallest = min(min(header.size) for header in headers)
        raise UserError(
            f"{folder}: images of different sizes ({', '.join(sizes)} pixels); expected one size, or --image_size N, "
            f"such as {smallest}, to crop and resize them"
        )
    return first


def _decoder(channels: int, image_size: int | None) -> Callable[[bytes], np.ndarray]:
    """Bytes of a file to uint8 ``(C, H, W)``."""
    if image_size:
        return Decoding(image_size, channels).decode
    return lambda data: _decode(data, channels)


def _decode(data: bytes, channels: int) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as image:
        upright = ImageOps.exif_transpose(image).convert("L" if channels == 1 else "RGB")
    return np.asarray(upright).reshape(upright.height, upright.width, channels).transpose(2, 0, 1)


def _pictures(folder: pathlib.Path, files: Sequence[str], decode: Callable[[bytes], np.ndarray]) -> Callable[[range, torch.device], Tensor]:
    def read(index: int) -> np.ndarray:
        try:
            return decode((folder / files[index]).read_bytes())
        except UNREADABLE as error:
            raise _unreadable(folder / files[index], error) from error

    def draw(block: range, device: torch.device) -> Tensor:
        # PIL releases the interpreter's lock while it decodes.
        with ThreadPoolExecutor() as pool:
            return torch.from_numpy(np.stack([*pool.map(read, block)])).to(device)

    return draw


def _classes(folder: pathlib.Path, files: Sequence[str]) -> tuple[np.ndarray | None, tuple[str, ...] | None]:
    """The label of each picture, and the name of each label."""
    # The splits of a data set are no classes, nor is anything when a picture lies in a hidden folder beside them.
    classes = {name: label for label, name in enumerate(class_folders(folder))}
    names = [file.partition("/")[0] for file in files]
    if split_folder(folder, "train") is not None or not classes or not classes.keys() >= set(names):
        return None, None
    return np.array([classes[name] for name in names], np.int64), tuple(classes)


# Arrays.


def array_stream(array: np.ndarray, name: str, key: dict[str, Any], labels: np.ndarray | None, num_samples: int | None) -> ImageStream:
    """uint8 images ``(N, H, W, C)``, ``(N, C, H, W)`` or, grey, ``(N, H, W)``, with C 1 or 3; possibly memory-mapped.

    Raises:
        UserError: the array has another type or shape, or the labels are not integers ``(N,)``.
    """
    images = _channels_first(array, name)
    if images.dtype != np.uint8:
        raise UserError(f"{name}: expected uint8 images from 0 to 255, got {images.dtype} {_range_in_words(images)}")
    if labels is not None and (labels.shape != (len(images),) or labels.dtype.kind not in "iu"):
        raise UserError(f"{name}: expected labels as integers ({len(images)},), got {labels.dtype} {labels.shape}")
    chosen = subset(len(images), num_samples, name)

    def draw(block: range, device: torch.device) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(images[chosen[block.start : block.stop]])).to(device)

    return ImageStream(
        name=name,
        count=len(chosen),
        draw=draw,
        shape=images.shape[1:],
        labels=None if labels is None else labels[chosen].astype(np.int64),
        key=key if num_samples is None else {**key, "evenly_spread": num_samples},
        class_names=_numbered(labels),
    )


def _numbered(labels: np.ndarray | None) -> tuple[str, ...] | None:
    """The names of labels from 0 on; None for others (a database's own numbers, say), which stand for themselves."""
    counted = labels is not None and 0 <= labels.min() <= labels.max() < len(labels)
    return tuple(map(str, range(int(labels.max()) + 1))) if labels is not None and counted else None


def _channels_first(array: np.ndarray, name: str) -> np.ndarray:
    expected = "images (N, H, W, C) or (N, C, H, W) with 1 or 3 channels, or grey (N, H, W)"
    if array.ndim == 3 and array.shape[2] in (3, 4) and array.shape[1] > 4:
        hint = "which looks like one picture (grey images that narrow: array[..., None])"
        raise UserError(f"{name}: expected {expected}, got {array.dtype} {array.shape}, {hint}")
    if array.ndim == 3:
        array = array[..., None]
    if array.ndim != 4 or not array.size:
        raise UserError(f"{name}: expected {expected}, got {array.dtype} {array.shape}")
    if array.shape[3] in (1, 3):  # first, as in the files of guided-diffusion
        return array.transpose(0, 3, 1, 2)
    if array.shape[1] in (1, 3):
        return array
    hint = "; drop the transparency with array[..., :3]" if array.shape[3] == 4 else ""
    raise UserError(f"{name}: expected {expected}, got {array.dtype} {array.shape}{hint}")


def _range_in_words(images: np.ndarray) -> str:
    """The values that were seen, and how they become uint8: cutting off fractions in silence would change every score."""
    if images.dtype.kind not in "fiu":
        return "; convert it with (array * 255).astype(np.uint8)" if images.dtype.kind == "b" else ""
    part = np.asarray(images[:: max(1, len(images) // 64)][:64], np.float64)
    lowest, highest = float(part.min()), float(part.max())
    convert = "a conversion of your own"
    if lowest >= 0 and highest <= 1 and images.dtype.kind == "f":
        convert = "(array * 255).round().astype(np.uint8)"
    elif lowest >= -1.01 and highest <= 1.01:
        convert = "((array + 1) * 127.5).round().clip(0, 255).astype(np.uint8)"
    elif lowest >= 0 and highest <= 255:
        convert = "array.round().astype(np.uint8)" if images.dtype.kind == "f" else "array.astype(np.uint8)"
    return f"from {lowest:.4g} to {highest:.4g}; convert it with {convert}"


def array_file_stream(file: pathlib.Path, num_samples: int | None = None) -> ImageStream:
    """The images of an ``.npz`` (``arr_0``, or its only array, and labels ``arr_1``) or ``.npy`` file.

    What is stored uncompressed is memory-mapped, also within an ``.npz``; pickled objects are never loaded.
    """
    key = {"file": hash_of_file(file)}
    try:
        if file.suffix.lower() == ".npy":
            return array_stream(np.load(file, mmap_mode="r", allow_pickle=False), file.name, key, None, num_samples)
        with zipfile.ZipFile(file) as archive:
            names = {name.removesuffix(".npy"): archive.getinfo(name) for name in archive.namelist() if name.endswith(".npy")}
            wanted, labels = _choose(file, list(names))
            images = read_member(file, archive, names[wanted])
            label_array = None if labels is None else np.array(read_member(file, archive, names[labels]))
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise UserError(f"{file}: cannot be read ({str(error).partition(chr(10))[0]})") from error
    return array_stream(images, file.name, key, label_array, num_samples)


def _choose(file: pathlib.Path, names: list[str]) -> tuple[str, str | None]:
    """The names of the images and, if there are any, of the labels."""
    if all(name in names for name in STATISTICS_NAMES):
        raise UserError(f"{file}: holds statistics ({', '.join(STATISTICS_NAMES)}), not images; they can be a --reference")
    labels = next((name for name in LABEL_NAMES if name in names), None)
    others = [name for name in names if name not in LABEL_NAMES]
    if "arr_0" in names:
        return "arr_0", labels
    if len(others) != 1:
        raise UserError(f"{file}: expected an array 'arr_0', or only one, of images, got {', '.join(map(repr, names)) or 'none'}")
    return others[0], labels


def holds_statistics(file: pathlib.Path) -> bool:
    """Whether an ``.npz`` file holds mean and covariance of features rather than images."""
    if file.suffix.lower() != ".npz" or not zipfile.is_zipfile(file):
        return False
    with zipfile.ZipFile(file) as archive:
        return {f"{name}.npy" for name in STATISTICS_NAMES} <= {*archive.namelist()}


def read_member(file: pathlib.Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> np.ndarray:
    """One array of an ``.npz`` file: memory-mapped where it lies uncompressed, else loaded.

    Raises:
        ValueError: it holds pickled objects, or is no array.
    """
    with archive.open(info) as member:
        shape, fortran_order, dtype = _array_header(member)
        start = member.tell()
        if info.compress_type != zipfile.ZIP_STORED or not shape or 0 in shape:
            content = np.frombuffer(member.read(), dtype)
            return content.reshape(shape, order="F" if fortran_order else "C")
    with open(file, "rb") as raw:
        raw.seek(info.header_offset)
        local = raw.read(30)
    # The local header repeats the name and may have other extra fields than the directory at the end of the file.
    offset = info.header_offset + 30 + int.from_bytes(local[26:28], "little") + int.from_bytes(local[28:30], "little") + start
    return np.memmap(file, dtype, "r", offset, shape, order="F" if fortran_order else "C")


def _array_header(member: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, whether in Fortran's order, and type."""
    version = np.lib.format.read_magic(member)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran_order, dtype = read(member)
    if dtype.hasobject:
        raise ValueError("it holds pickled objects, which are never loaded")
    return shape, fortran_order, dtype
