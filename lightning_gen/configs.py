"""The shipped configurations, by short name."""

from __future__ import annotations

import pathlib

from lightning_gen.errors import UserError, did_you_mean

_INSTALLED = pathlib.Path(__file__).parent / "_configs"
_CHECKOUT = pathlib.Path(__file__).parent.parent / "configs"

FOLDER = _INSTALLED if _INSTALLED.is_dir() else _CHECKOUT
BASE = FOLDER / "base.yaml"


def config_names() -> dict[str, pathlib.Path]:
    """Short name -> file of every shipped configuration; overlays are called ``overlays/NAME``."""
    names = {}
    for path in sorted(FOLDER.rglob("*.yaml")):
        if path != BASE:
            names[f"overlays/{path.stem}" if is_overlay(path) else path.stem] = path
    return names


def is_overlay(path: pathlib.Path) -> bool:
    """Whether a file changes an experiment rather than describing one."""
    return path.parent.name == "overlays"


def find_config(name: str) -> pathlib.Path:
    """The file that a path, or the short name of a shipped configuration, stands for.

    Raises:
        UserError: there is neither.
    """
    path = pathlib.Path(name)
    names = config_names()
    if path.is_file():
        return path
    for short in (name, f"overlays/{name}"):
        if short in names:
            return names[short]
    near = did_you_mean(name, {known.rpartition("/")[2] for known in names})
    raise UserError(f"--config {name}: neither a file nor a shipped configuration; {near} (lightning-gen list configs)")
