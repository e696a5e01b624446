"""A model as a folder that other programs can read: ``weights.safetensors``, and ``model.json`` that says what they are weights of.

Every command that takes a checkpoint reads such a folder too. It holds one set of weights, averaged or live, and nothing of the optimisers:
a run cannot be continued from it.
"""

from __future__ import annotations

import json
import pathlib
from typing import Any

import safetensors
from safetensors.torch import load_file, save_file
from torch import Tensor

from lightning_gen import __version__
from lightning_gen.errors import UserError
from lightning_gen.files import complete

WEIGHTS_FILE = "weights.safetensors"
MODEL_FILE = "model.json"
AVERAGES = "ema."
"""How the names of averaged weights start in a checkpoint."""
LARGEST = 2**24
"""Bytes of a ``model.json``; hyperparameters are a few thousand."""


def write(content: dict[str, Any], key: str, folder: pathlib.Path, weights: str, source: dict[str, Any]) -> None:
    """Write one set of a checkpoint's weights.

    Args:
        content: of the checkpoint.
        key: under which it describes the model.
        folder: a new or an empty one.
        weights: ``ema`` for the averaged ones, where there are any, or ``live``.
        source: where they come from, for the reader.

    Raises:
        UserError: the folder holds something, or cannot be written to, or the disk is full.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"--out {folder}: expected a new or an empty folder")
    averaged = weights == "ema" and content[key]["has_ema"]
    which = "ema" if averaged else content[key].get("weights", "live")
    description = {**content[key], "has_ema": False, "weights": which}
    with complete(folder / WEIGHTS_FILE) as path:
        try:
            save_file(one_set(content["state_dict"], averaged), path, metadata={"format": "pt"})
        except safetensors.SafetensorError as error:  # in which it wraps what the disk says
            raise UserError(f"{folder / WEIGHTS_FILE}: cannot be written ({error})") from error
    with complete(folder / MODEL_FILE) as path:
        text = json.dumps({"lightning_gen": __version__, "source": source, **description}, indent=2)
        path.write_text(text + "\n", encoding="utf-8")


def one_set(state: dict[str, Tensor], averaged: bool) -> dict[str, Tensor]:
    """The live weights, or those with the averaged ones in the place of their live counterparts."""
    found = {name: tensor for name, tensor in state.items() if not name.startswith(AVERAGES)}
    if averaged:
        found |= {name.removeprefix(AVERAGES): tensor for name, tensor in state.items() if name.startswith(AVERAGES)}
    # Tensors that share memory, as tied weights do, cannot be written.
    return {name: tensor.clone().contiguous() for name, tensor in found.items()}


def is_exported(path: pathlib.Path) -> bool:
    """Whether a path is the weights' file of such a folder."""
    return path.name == WEIGHTS_FILE


def read(path: pathlib.Path, key: str) -> dict[str, Any]:
    """The folder of the weights' file, as the content of a checkpoint.

    Args:
        path: the file.
        key: under which to describe the model.

    Raises:
        UserError: a file is missing, cut short or foreign.
    """
    description = _description(path.with_name(MODEL_FILE))
    try:
        state = load_file(path)
    except (safetensors.SafetensorError, OSError) as error:
        raise UserError(f"{path}: cannot be read ({error})") from error
    return {"state_dict": state, key: description}


def _description(path: pathlib.Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > LARGEST:
            raise UserError(f"{path}: expected the description of a model, got {path.stat().st_size:,} bytes")
        description = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not JSON ({' '.join(str(error).split())})") from error
    if not isinstance(description, dict):
        raise UserError(f"{path}: expected the description of a model, which it is not")
    return description
