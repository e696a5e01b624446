"""``lightning-gen doctor``: what this installation has, on one screen."""

from __future__ import annotations

import functools
import importlib.metadata
import json
import os
import pathlib
import platform
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass

from lightning_gen import __version__
from lightning_gen.cli.arguments import Arguments
from lightning_gen.errors import UserError

PACKAGES = ("torch", "torchvision", "pytorch-lightning", "torchmetrics", "torch-fidelity", "jsonargparse", "wandb")
LITTLE_DISK = 5 * 2**30
"""Bytes below which a training with its checkpoints may not fit."""


@dataclass(frozen=True)
class Finding:
    """One line.

    Args:
        what: was looked at.
        found: what it is like.
        state: ``ok``, ``note`` for what one may want to know, or ``problem`` for what has to be mended before a training.
    """

    what: str
    found: str
    state: str = "ok"


def run(argv: list[str]) -> int:
    """Print the findings; exit code 1 when one is a problem."""
    parser = Arguments("doctor", "Show what this installation has: versions, devices, weights of Inception, W&B, disk, write access.")
    parser.add_argument("--runs", default="runs", metavar="DIR", help="folder of the runs (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print the findings as JSON instead")
    options = parser.parse_args(argv)
    checks = {
        "packages": versions,
        "devices": devices,
        "processes": processes,
        "Inception weights": inception,
        "W&B": tracking,
        "folders": functools.partial(folders, pathlib.Path(options.runs)),
    }
    findings = [finding for what, check in checks.items() for finding in _examined(what, check)]
    if options.json:
        print(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        _show(findings)
    return 1 if any(finding.state == "problem" for finding in findings) else 0


def _examined(what: str, check: Callable[[], Iterable[Finding]]) -> list[Finding]:
    """The findings of one check, or that a package which it needs is broken: the other checks have something to say all the same."""
    try:
        return [*check()]
    except (ImportError, OSError) as error:  # the latter from shared libraries
        return [Finding(what, f"cannot be looked at ({' '.join(str(error).split())})", "problem")]


def _show(findings: list[Finding]) -> None:
    from lightning_gen.leaderboard.render import print_table

    marks = {"ok": "", "note": "note", "problem": "PROBLEM"}
    print_table(["", "what", "found"], [[marks[finding.state], finding.what, finding.found] for finding in findings])


def versions() -> Iterator[Finding]:
    """Of this package, Python, and the packages that it stands on."""
    yield Finding("lightning-gen", f"{__version__}, Python {platform.python_version()}, {platform.system()} {platform.machine()}")
    for name in PACKAGES:
        try:
            yield Finding(name, importlib.metadata.version(name))
        except importlib.metadata.PackageNotFoundError:
            optional = name == "wandb"
            yield Finding(name, "not installed", "note" if optional else "problem")


def devices() -> Iterator[Finding]:
    """Where networks can run."""
    import torch

    yield Finding("CPU", f"{os.cpu_count()} cores, {torch.get_num_threads()} threads used")
    if not torch.cuda.is_available():
        built = f"torch is built for CUDA {torch.version.cuda}, and finds no GPU" if torch.version.cuda else "torch is built without CUDA"
        yield Finding("GPU", built, "note")
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        memory = properties.total_memory / 2**30
        precision = "bfloat16" if torch.cuda.is_bf16_supported() else "no bfloat16"
        yield Finding(f"GPU {index}", f"{properties.name}, {memory:.0f} GiB, {precision}")


def processes() -> Iterator[Finding]:
    """How many a launcher has started here, and whether they can talk to each other."""
    import torch.distributed

    variables = {name: os.environ[name] for name in ("WORLD_SIZE", "SLURM_NTASKS") if name in os.environ}
    found = ", ".join(f"{name} {value}" for name, value in variables.items()) or "1 (no launcher)"
    yield Finding("processes", found, "ok" if torch.distributed.is_available() else "note")


def inception() -> Iterator[Finding]:
    """Whether scores can be called FID and IS."""
    from lightning_gen.metrics.extractors.inception_weights import find_inception_weights, has_official_weights

    what = "Inception weights"
    try:
        path = find_inception_weights()
    except UserError as error:
        yield Finding(what, str(error), "problem")
        return
    if path is None:
        found = "not on this machine: no FID and IS, but the scores of small networks (fetched at first use with --extractor)"
        yield Finding(what, found, "note")
    elif has_official_weights():
        yield Finding(what, f"{path}, intact")
    else:
        yield Finding(what, f"{path}: not the official ones (cut short, or others)", "problem")


def tracking() -> Iterator[Finding]:
    """Where a run's curves go besides its folder."""
    from lightning_gen.tracking import wandb_mode

    try:
        mode = wandb_mode("auto")
    except UserError as error:
        yield Finding("W&B", str(error), "problem")
        return
    words = {
        None: "none: metrics.csv only",
        "offline": "offline runs in the run folders (wandb sync sends them)",
        "online": "online, logged in",
    }
    yield Finding("W&B", words[mode], "ok" if mode == "online" else "note")


def folders(runs: pathlib.Path) -> Iterator[Finding]:
    """Where runs, data and the cache of evaluations lie: room and write access."""
    from lightning_gen.data.base import default_root
    from lightning_gen.evaluation.cache import cache_root

    for what, folder in (("runs", runs), ("data", pathlib.Path(default_root())), ("cache", cache_root())):
        yield _folder(what, folder)


def _folder(what: str, folder: pathlib.Path) -> Finding:
    there = next(parent for parent in (folder.absolute(), *folder.absolute().parents) if parent.exists())
    if not there.is_dir():
        return Finding(what, f"{there}: not a folder", "problem")
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        return Finding(what, f"{folder}: cannot be written to ({error.strerror})", "problem")
    free = shutil.disk_usage(there).free
    words = f"{folder}{'' if folder.exists() else ' (not there yet)'}, {free / 2**30:.1f} GiB free"
    return Finding(what, words, "ok" if free >= LITTLE_DISK else "note")
