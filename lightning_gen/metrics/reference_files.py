"""Statistics of reference images in ``.npz`` files: those of EDM, guided-diffusion, clean-fid, pytorch-fid, and our own."""

from __future__ import annotations

import hashlib
import json
import os
import pathlib
import zipfile
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lightning_gen.errors import UserError, did_you_mean
from lightning_gen.files import complete
from lightning_gen.metrics.frechet import GaussianStatistics

MEAN, COVARIANCE = "mu", "sigma"
"""The two names that all packages share."""

LAYOUTS = {"lightning-gen": {"count", "card"}, "guided-diffusion": {"mu_s", "sigma_s"}}
"""What else a file of this layout holds; one with nothing else is of EDM, clean-fid or pytorch-fid, which look alike."""

PLAIN_LAYOUT = "mu and sigma (EDM, clean-fid, pytorch-fid)"
PICKLE_SUFFIXES = (".pkl", ".pickle", ".pt", ".pth")

SYMMETRIC = 1e-5
"""How far, relative to its largest entry, a covariance may be from symmetric: float32 sums leave that much."""


@dataclass(frozen=True)
class StatisticsFile:
    """What a file says of a set of images.

    Args:
        statistics: mean and covariance; its count is 0 where the file does not say from how many images they are.
        card: ``file``, ``sha256``, ``layout``, ``count`` (None when unknown), and in our own files what the statistics are of.
    """

    statistics: GaussianStatistics
    card: dict[str, Any]


def read_statistics(path: str | os.PathLike[str]) -> StatisticsFile:
    """Mean and covariance from an ``.npz`` file of any of the layouts; pickled objects are never loaded.

    Raises:
        UserError: the file is missing, damaged, of another kind, or holds no covariance of features.
    """
    path = pathlib.Path(path)
    if path.suffix.lower() in PICKLE_SUFFIXES:
        raise UserError(f"{path}: refused, a pickle can run any code; expected an .npz file with {MEAN} and {COVARIANCE}")
    if not path.is_file():
        raise UserError(f"{path}: no such file; {_near_miss(path)}")
    arrays = _read_arrays(path)
    mean, covariance = (_as_float64(path, name, arrays[name]) for name in (MEAN, COVARIANCE))
    _check_shapes(path, mean, covariance)
    matrix = _symmetric(path, covariance)
    root = _root(path, arrays["root"], matrix) if "root" in arrays else None
    card = {"file": path.name, "sha256": _sha256(path), **_describe(path, arrays)}
    statistics = GaussianStatistics(card["count"] or 0, _tensor(mean), matrix, root)
    return StatisticsFile(statistics, card)


def _near_miss(path: pathlib.Path) -> str:
    siblings = [file.name for file in path.parent.glob("*.npz")] if path.parent.is_dir() else []
    return did_you_mean(path.name, siblings) if siblings else f"expected an .npz file with {MEAN} and {COVARIANCE}"


def _read_arrays(path: pathlib.Path) -> dict[str, np.ndarray]:
    try:
        if not zipfile.is_zipfile(path):
            raise ValueError("not an .npz file, or cut short")
        with np.load(path, allow_pickle=False) as file:
            missing = [name for name in (MEAN, COVARIANCE) if name not in file.files]
            if missing:
                hint = "; these are images, not statistics" if "arr_0" in file.files else ""
                raise UserError(f"{path}: expected arrays {MEAN} and {COVARIANCE}, got {', '.join(file.files) or 'none'}{hint}")
            wanted = {MEAN, COVARIANCE, "root", "count", "card"}
            return {name: file[name] if name in wanted else np.empty(0) for name in file.files}
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise UserError(f"{path}: cannot be read as statistics ({str(error).partition(chr(10))[0]})") from error


def _as_float64(path: pathlib.Path, name: str, array: np.ndarray) -> np.ndarray:
    if array.dtype.kind != "f":
        raise UserError(f"{path}: expected {name} in floating point, got {array.dtype}")
    if not np.isfinite(array).all():
        raise UserError(f"{path}: {name} is not finite (NaN or infinite)")
    return array.astype(np.float64)


def _check_shapes(path: pathlib.Path, mean: np.ndarray, covariance: np.ndarray) -> None:
    size = mean.size
    if mean.ndim != 1 or not size or covariance.shape != (size, size):
        raise UserError(f"{path}: expected {MEAN} (d,) and {COVARIANCE} (d, d), got {mean.shape} and {covariance.shape}")


def _symmetric(path: pathlib.Path, covariance: np.ndarray) -> Tensor:
    difference = float(np.abs(covariance - covariance.T).max())
    if difference > SYMMETRIC * float(np.abs(covariance).max()):
        raise UserError(f"{path}: {COVARIANCE} is no covariance, it differs from its transpose by {difference:.3g}")
    if float(covariance.diagonal().min()) < 0:
        raise UserError(f"{path}: {COVARIANCE} is no covariance, its diagonal has {float(covariance.diagonal().min()):.3g}")
    return _tensor((covariance + covariance.T) / 2)


def _root(path: pathlib.Path, array: np.ndarray, covariance: Tensor) -> Tensor:
    """The stored root, tried on one vector: it saves the cost of an eigenvalue problem, not the correctness."""
    root = _tensor(_as_float64(path, "root", array))
    if root.shape == covariance.shape:
        vector = torch.linspace(-1, 1, len(root), dtype=torch.float64)
        wanted = covariance @ vector
        if float((root @ (root @ vector) - wanted).norm()) <= SYMMETRIC * float(covariance.norm() * vector.norm()):
            return root
    raise UserError(f"{path}: root is not the root of {COVARIANCE}")


def _tensor(array: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array))


def _describe(path: pathlib.Path, arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    """Layout, number of images, and what our own files say of themselves."""
    layout = next((name for name, keys in LAYOUTS.items() if keys <= arrays.keys()), PLAIN_LAYOUT)
    if layout != "lightning-gen":
        return {"layout": layout, "count": None}
    try:
        own = json.loads(str(arrays["card"]))
        return {"layout": layout, "count": int(arrays["count"]) or None, "origin": dict(own)}
    except (TypeError, ValueError) as error:
        raise UserError(f"{path}: its card or count is damaged ({error})") from error


def _sha256(path: pathlib.Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_statistics(path: str | os.PathLike[str], statistics: GaussianStatistics, card: dict[str, Any]) -> None:
    """Mean, covariance, its root, the count and a card as ``.npz``, which pytorch-fid, EDM and clean-fid read; complete or not at all.

    Args:
        path: the file, replaced when it exists.
        statistics: of the features.
        card: what they are of, as plain data.

    Raises:
        UserError: the file cannot be written.
    """
    path = pathlib.Path(path)
    if path.suffix != ".npz":
        raise UserError(f"{path}: expected a name that ends with .npz")
    arrays: dict[str, Any] = {
        MEAN: statistics.mean.numpy(),
        COVARIANCE: statistics.covariance_matrix().numpy(),
        "root": statistics.symmetric_root().numpy(),
        "count": np.array(statistics.count, np.int64),
        "card": np.array(json.dumps(card, sort_keys=True)),
    }
    with complete(path) as partial, open(partial, "wb") as file:
        np.savez(file, **arrays)
        file.flush()
        os.fsync(file.fileno())
