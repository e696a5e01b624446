"""References by name: statistics that were imported from a file, and those that were computed here."""

from __future__ import annotations

import pathlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lightning_gen import data as catalogue
from lightning_gen import registry
from lightning_gen.errors import UserError, did_you_mean
from lightning_gen.evaluation.cache import cache_root
from lightning_gen.evaluation.references import Reference, load, read_card
from lightning_gen.metrics.dialects import TF1
from lightning_gen.metrics.extractors import INCEPTION
from lightning_gen.metrics.reference_files import read_statistics, write_statistics

IMPORTED, COMPUTED = "imported", "computed"

DAMAGE = (UserError, OSError, ValueError, KeyError, TypeError)
"""What reading a damaged reference may raise."""

SHORT = 8
"""Letters of a computed reference's hash by which it is called."""


@dataclass(frozen=True)
class Entry:
    """A reference on this machine.

    Args:
        name: by which ``--reference`` and ``reference export`` find it.
        kind: ``imported`` or ``computed``.
        images: what it is of, in words.
        count: number of images; None when the file did not say.
        num_features: d.
        extractor: name of the network.
        path: its file or folder.
        dialect: whose preprocessing, where a user said so.
        network: the network's whole protocol, where it is known.
    """

    name: str
    kind: str
    images: str
    count: int | None
    num_features: int
    extractor: str
    path: pathlib.Path
    dialect: str | None = None
    network: dict[str, Any] | None = None

    @property
    def preprocessing(self) -> str:
        """What is done to images before the network sees them, in words."""
        return str((self.network or {}).get("resize", self.dialect or "unknown"))


def imported_folder() -> pathlib.Path:
    """Where imported statistics are kept."""
    return cache_root() / "statistics"


def dataset_names() -> list[str]:
    """The data sets that can be named: ours that need nothing but their name, and the registered ones."""
    return [name for name in catalogue.DATASETS if name not in ("ImageFolder", "ToyDensity")] + [*registry.registered("lightning_gen.data")]


def entries() -> list[Entry]:
    """All references on this machine, imported ones first, each kind by name; damaged ones are left out."""
    return survey()[0]


def survey() -> tuple[list[Entry], dict[str, str]]:
    """All references, and the name of each damaged one with what is wrong with it, in one line."""
    damaged: dict[str, str] = {}

    def attempt(name: str, path: pathlib.Path, read: Callable[[pathlib.Path], Entry]) -> list[Entry]:
        try:
            return [read(path)]
        except DAMAGE as error:
            reason = str(error).partition("\n")[0].removeprefix(f"{path}: ") or type(error).__name__
            damaged[name] = f"reference {name!r}: damaged ({reason}); delete {path}"
            return []

    files = sorted(imported_folder().glob("*.npz"))
    folders = sorted((cache_root() / "references").glob("[0-9a-f]*"))
    imported = [entry for file in files for entry in attempt(file.stem, file, _imported)]
    computed = [entry for folder in folders for entry in attempt(folder.name[:SHORT], folder, _computed)]
    return imported + sorted(computed, key=lambda entry: (entry.images, entry.name)), damaged


def _imported(file: pathlib.Path) -> Entry:
    found = read_statistics(file)
    origin, size = found.card["origin"], found.statistics.num_features
    images = f"{origin['file']}, {origin['layout']}"
    known = origin["extractor"], file, origin["dialect"], origin["network"]
    return Entry(file.stem, IMPORTED, images, found.card["count"], size, *known)


def _computed(folder: pathlib.Path) -> Entry:
    card = read_card(folder)
    network = card["content"]["network"]
    sizes = card["count"], card["num_features"]
    return Entry(folder.name[:SHORT], COMPUTED, card["name"], *sizes, network["extractor"], folder, network=network)


def computed_entry(folder: pathlib.Path) -> Entry | None:
    """The entry of a computed reference's folder; None when it is damaged."""
    try:
        return _computed(folder)
    except DAMAGE:
        return None


def find(name: str) -> Entry:
    """The reference of a name.

    Raises:
        UserError: there is none, or it is damaged.
    """
    known, damaged = survey()
    found = next((entry for entry in known if entry.name == name), None)
    if found is None and name in damaged:
        raise UserError(damaged[name])
    if found is None:
        hint = did_you_mean(name, [entry.name for entry in known]) if known else "there is none on this machine yet"
        raise UserError(f"reference {name!r}: unknown; {hint} (lightning-gen reference list)")
    return found


def open_entry(entry: Entry) -> Reference:
    """The reference itself, checked against its hashes.

    Raises:
        UserError: it is damaged.
    """
    if entry.kind == IMPORTED:
        found = read_statistics(entry.path)
        return Reference(entry.name, found.statistics, {**found.card, "name": entry.name})
    reference = load(entry.path)
    if reference is None:
        raise UserError(f"reference {entry.name!r}: damaged, and removed; compute it anew with 'lightning-gen reference compute'")
    return reference


def import_statistics(file: str | pathlib.Path, name: str, extractor: str | None = None, dialect: str | None = None) -> Entry:
    """Keep the statistics of a file of EDM, guided-diffusion, clean-fid, pytorch-fid or ours under a name, with the root of the covariance.

    Args:
        file: the ``.npz`` file.
        name: how it will be called.
        extractor: the network whose features these are; None for what the file says, or Inception where it does not.
        dialect: whose preprocessing; None likewise, or ``tf1``.

    Raises:
        UserError: the file is no statistics or says otherwise, or the name is taken, cannot be one, or already means something else.
    """
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]*", name):
        raise UserError(f"--name {name}: expected letters, digits, '_', '-' and '.', such as adm-imagenet256")
    if name in dataset_names() or pathlib.Path(name).exists():
        kind = "a data set" if name in dataset_names() else "a file or folder"
        raise UserError(f"--name {name}: {kind} is called so, which --reference {name} means; expected another name")
    found = read_statistics(file)
    target = imported_folder() / f"{name}.npz"
    said = found.card.get("origin", {})
    origin = {key: found.card[key] for key in ("file", "sha256", "layout")} | {
        "extractor": _agreed("extractor", extractor, said.get("extractor")) or INCEPTION,
        "dialect": _agreed("dialect", dialect, said.get("dialect")) or (None if said.get("network") else TF1.name),
        "network": said.get("network"),
    }
    if target.is_file():
        if read_statistics(target).card.get("origin") != origin:
            raise UserError(f"--name {name}: taken by other statistics; choose another name, or delete {target}")
    else:
        write_statistics(target, found.statistics, origin)
    return find(name)


def _agreed(key: str, wanted: str | None, said: str | None) -> str | None:
    """What the user or the file says, who must not contradict each other."""
    if wanted is not None and said is not None and wanted != said:
        raise UserError(f"--{key} {wanted}: the file says {said}")
    return wanted or said


def export_statistics(name: str, file: str | pathlib.Path) -> pathlib.Path:
    """Write a reference as ``.npz`` with ``mu``, ``sigma``, ``root``, ``count`` and ``card``, which other packages read."""
    entry = find(name)
    reference = open_entry(entry)
    card = {"name": reference.name, "extractor": entry.extractor, "dialect": entry.dialect, "network": entry.network}
    write_statistics(file, reference.gaussian, card)
    return pathlib.Path(file)
