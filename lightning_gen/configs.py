"""The shipped configurations, by short name."""

from __future__ import annotations

import pathlib

from lightning_gen.errors import UserError, did_you_mean

_INSTALLED = pathlib.Path(__file__).parent / "_configs"
_CHECKOUT = pathlib.Path(__file__).parent.parent / "configs"

FOLDER = _INSTALLED if _INSTALLED.is_dir() else _CHECKOUT
BASE = FOLDER / "base.yaml"
SWEEPS = FOLDER / "sweeps"


def config_names() -> dict[str, pathlib.Path]:
    """Short name -> file of every shipped configuration; overlays are called ``overlays/NAME``, grids of a sweep ``sweeps/NAME``."""
    names = {}
    for path in sorted(FOLDER.rglob("*.yaml")):
        if path != BASE:
            names[f"{path.parent.name}/{path.stem}" if is_overlay(path) or is_sweep(path) else path.stem] = path
    return names


def is_overlay(path: pathlib.Path) -> bool:
    """Whether a file changes an experiment rather than describing one."""
    return path.parent.name == "overlays"


def is_sweep(path: pathlib.Path) -> bool:
    """Whether a file is one of the shipped grids, which describe many experiments."""
    return path.resolve().parent == SWEEPS.resolve()


def find_config(name: str) -> pathlib.Path:
    """The file that a path, or the short name of a shipped configuration, stands for.

    Raises:
        UserError: there is neither.
    """
    names = config_names()
    path = _find(name, "overlays", names)
    if path and is_sweep(path):
        raise UserError(f"--config {name}: a grid of many experiments; expected lightning-gen sweep {name}")
    if path:
        return path
    near = did_you_mean(name, {known.rpartition("/")[2] for known in names if not known.startswith("sweeps/")})
    raise UserError(f"--config {name}: neither a file nor a shipped configuration; {near} (lightning-gen list configs)")


def find_sweep(name: str) -> pathlib.Path:
    """The grid that a path, or the short name of a shipped one with or without ``sweeps/``, stands for.

    Raises:
        UserError: there is neither.
    """
    grids = {known: path for known, path in config_names().items() if is_sweep(path)}
    path = _find(name, "sweeps", grids)
    if path:
        return path
    near = did_you_mean(name, {known.rpartition("/")[2] for known in grids})
    raise UserError(f"sweep {name}: neither a file nor a shipped grid; {near} (lightning-gen list configs)")


def _find(name: str, folder: str, names: dict[str, pathlib.Path]) -> pathlib.Path | None:
    path = pathlib.Path(name)
    return path if path.is_file() else names.get(name) or names.get(f"{folder}/{name}")
