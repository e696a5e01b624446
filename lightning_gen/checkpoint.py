"""Checkpoints: rebuild any model from its file alone, without running code that the file names."""

from __future__ import annotations

import hashlib
import os
import pathlib
import pickle
from types import UnionType
from typing import Any

import torch

from lightning_gen import exported
from lightning_gen.errors import UserError, did_you_mean
from lightning_gen.models.base import CHECKPOINT_KEY, GenerativeModel, check_weights
from lightning_gen.registry import build

Path = str | os.PathLike[str]

KINDS = ("best", "last")
"""Of a run's checkpoints, those that can be asked for."""

SMALLEST_SHARE = 0.25
"""Of the weights of the smaller model: with fewer in common, models of two classes share names. One shared encoder is about half."""

REQUIRED: dict[str, type | UnionType] = {
    "model": dict | str,
    "data": dict | None,
    "images_seen": int,
    "batches_seen": int,
    "device_seconds": float | int,
    "warm_start_images": int,
    "world_size": int,
    "data_initialized": bool,
    "has_ema": bool,
    "seed": int,
}
"""What every checkpoint says of its model, besides the weights."""


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The content of a checkpoint file, or of an exported model: tensors and plain data only, on the CPU.

    Raises:
        UserError: the file is missing, cut short, foreign, or holds pickled objects.
    """
    path = pathlib.Path(path)
    if not path.is_file():
        raise UserError(f"checkpoint {str(path)!r}: no such file")
    content = exported.read(path, CHECKPOINT_KEY) if exported.is_exported(path) else _load(path)
    if not isinstance(content, dict) or not isinstance(content.get(CHECKPOINT_KEY), dict):
        raise UserError(f"checkpoint {str(path)!r}: not written by lightning-gen")
    if content[CHECKPOINT_KEY].get("format") != 1:
        raise UserError(f"checkpoint {str(path)!r}: format {content[CHECKPOINT_KEY].get('format')!r}; this version reads format 1")
    missing = [key for key in REQUIRED if key not in content[CHECKPOINT_KEY]] + ["state_dict"] * ("state_dict" not in content)
    if missing:
        raise UserError(f"checkpoint {str(path)!r}: incomplete, it lacks {', '.join(missing)}")
    for key, kind in REQUIRED.items():
        if not isinstance(value := content[CHECKPOINT_KEY][key], kind):
            raise UserError(f"checkpoint {str(path)!r}: {key}: expected {getattr(kind, '__name__', kind)}, got {value!r:.100}")
    return content


def _load(path: pathlib.Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        reason = str(error).partition("WeightsUnpickler error: ")[2].partition("\n")[0] or "its format is foreign"
        raise UserError(f"checkpoint {str(path)!r}: refused, it is not plain tensors and data ({reason})") from error
    except Exception as error:  # bytes at random may raise anything
        raise UserError(f"checkpoint {str(path)!r}: cannot be read; the file is cut short or is not a checkpoint") from error


def load_model(path: Path) -> GenerativeModel:
    """The model of a checkpoint, rebuilt from its class and plain hyperparameters, in evaluation mode on the CPU.

    Raises:
        UserError: as :func:`read_checkpoint`; or the file names a class that is neither ours, registered, nor trusted.
    """
    return model_of(read_checkpoint(path), path)


def model_of(checkpoint: dict[str, Any], path: Path) -> GenerativeModel:
    """:func:`load_model` for a content that was already read from ``path``."""
    try:
        model = build(checkpoint[CHECKPOINT_KEY]["model"], GenerativeModel, f"checkpoint {str(path)!r}")
    except (RuntimeError, MemoryError) as error:  # a network that this machine has no room for
        raise UserError(f"checkpoint {str(path)!r}: its model cannot be built ({_first_line(error)})") from error
    model.on_load_checkpoint(checkpoint)
    model.data_spec = checkpoint[CHECKPOINT_KEY]["data"]
    model.training_seed = checkpoint[CHECKPOINT_KEY]["seed"]
    model.exported_weights = checkpoint[CHECKPOINT_KEY].get("weights")
    try:
        model.load_state_dict(checkpoint["state_dict"])
    except RuntimeError as error:
        raise UserError(f"checkpoint {str(path)!r}: its weights do not fit its hyperparameters ({_first_line(error)})") from error
    return model.eval()


def save_model(model: GenerativeModel, path: Path) -> None:
    """Write what :func:`load_model` rebuilds a model from, without a trainer: complete or not at all."""
    content: dict[str, Any] = {"state_dict": model.state_dict()}
    model.on_save_checkpoint(content)
    partial = pathlib.Path(path).with_suffix(".partial")
    torch.save(content, partial)
    os.replace(partial, path)


def images_seen(path: Path) -> int:
    """How many images the model of a checkpoint had seen."""
    return read_checkpoint(path)[CHECKPOINT_KEY]["images_seen"]


def class_of(checkpoint: dict[str, Any]) -> str:
    """The name of the model's class in the content of a checkpoint."""
    return checkpoint[CHECKPOINT_KEY]["model"]["class_path"].rpartition(".")[2]


def _first_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


def init_from(model: GenerativeModel, path: Path) -> tuple[list[str], list[str], list[str]]:
    """Copy the weights of another checkpoint that match by name and shape into ``model``.

    Returns:
        Names that were taken over, names of ``model`` that were not, and names of the file that were of no use.

    Raises:
        UserError: nothing matches, or next to nothing of a model of another class: names that two classes happen to share.
    """
    content = read_checkpoint(path)
    theirs = content["state_dict"]
    ours = model.state_dict()
    matched = [name for name, tensor in ours.items() if name in theirs and theirs[name].shape == tensor.shape]
    if not matched:
        raise UserError(f"--init_from {str(path)!r}: no weight matches this model by name and shape")
    theirs_is, ours_is = class_of(content), type(model).__name__
    if theirs_is != ours_is and len(matched) < SMALLEST_SHARE * min(len(ours), len(theirs)):
        few = f"only {len(matched)} of the {len(ours)} weights of {ours_is} are there"
        raise UserError(f"--init_from {str(path)!r}: is {theirs_is}, and {few}; expected {ours_is}, or a model with networks in common")
    model.load_state_dict({name: theirs[name] for name in matched}, strict=False)
    missing = [name for name in ours if name not in matched]
    # Weights that were trained must not be overwritten by a data-dependent initialisation, which others still need.
    model.data_initialized = not any(name.startswith(model.data_dependent) for name in missing)
    model.warm_weights = frozenset(matched)
    before = content[CHECKPOINT_KEY]
    model.warm_start_images = before["images_seen"] + before["warm_start_images"]
    return matched, missing, [name for name in theirs if name not in matched]


def export(run_or_file: Path, folder: Path, which: str = "best", weights: str = "ema") -> pathlib.Path:
    """Write the weights of a run, and what they are of, as a folder that other programs can read; returns it.

    Args:
        run_or_file: a run folder or a checkpoint.
        folder: a new or an empty one.
        which: of a run's checkpoints, ``best`` or ``last``.
        weights: ``ema`` for the averaged ones, where there are any, or ``live``.
    """
    check_weights(weights)
    path = find_checkpoint(run_or_file, which)
    source = {"checkpoint": path.name, "sha256": sha256(path)}
    exported.write(read_checkpoint(path), CHECKPOINT_KEY, pathlib.Path(folder), weights, source)
    return pathlib.Path(folder)


def sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def find_checkpoint(run_or_file: Path, which: str = "best") -> pathlib.Path:
    """The checkpoint file that a run folder or a file name stands for: ``best`` if the run has one, otherwise ``last``; or the weights'
    file of an exported model's folder."""
    if which not in KINDS:
        raise UserError(f"which: unknown value {which!r}; {did_you_mean(str(which), KINDS)}")
    path = pathlib.Path(run_or_file)
    if path.is_file():
        return path
    if (path / exported.WEIGHTS_FILE).is_file():
        return path / exported.WEIGHTS_FILE
    folder = path / "checkpoints"
    files = [f"{name}.ckpt" for name in dict.fromkeys((which, "last"))]
    for file in files:
        if (folder / file).is_file():
            return folder / file
    wanted = " or ".join(f"checkpoints/{file}" for file in files)
    raise UserError(f"{str(path)!r}: neither a checkpoint file nor a run folder with {wanted}")
