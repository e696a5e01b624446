"""What ``evaluate`` does once its options are read: the same job in one process or in several."""

from __future__ import annotations

import argparse
import json
import pathlib
from dataclasses import asdict
from typing import Any

import yaml
from lightning_fabric import Fabric
from rich.console import Console

from lightning_gen import registry
from lightning_gen.callbacks.run_folder import CONFIG_FILE
from lightning_gen.checkpoint import find_checkpoint, load_model
from lightning_gen.cli.output import quiet
from lightning_gen.cli.processes import check_devices, launch
from lightning_gen.cli.scoring import score_checkpoint, show_neighbours
from lightning_gen.cli.scoring_options import scoring_arguments
from lightning_gen.data.base import ImageDataModule
from lightning_gen.errors import UserError
from lightning_gen.evaluation import Plan, Scoring
from lightning_gen.leaderboard.schema import to_json
from lightning_gen.models.base import GenerativeModel
from lightning_gen.registry import Spec
from lightning_gen.reporting import run_of

quiet()  # here too: a process that is started for --devices imports this before Fabric has something to say


def run(options: argparse.Namespace) -> None:
    """Evaluate; mistakes are found here, before any process is started."""
    quiet()
    check_devices(options.devices)
    path = find_checkpoint(options.checkpoint)
    plan = Plan(
        options.split,
        options.num_samples,
        options.likelihood_samples,
        options.likelihood_images,
        options.seed,
        options.weights,
        Scoring(**scoring_arguments(options)),
        options.standing_statistics,
        options.generalization,
        options.temperature,
        options.truncation,
    )
    if options.neighbours < 0:
        raise UserError(f"--neighbours: expected 0 (none) or a number of samples, got {options.neighbours}")
    data = rebuild_data(load_model(path), path, options.root)
    data.prepare_data()
    data.split_size(plan.split)
    # As plain data: Fabric refuses frozen dataclasses.
    record = launch(work, options.devices, path, asdict(plan), options.root, options.trust, options.neighbours)
    if options.json:
        print(json.dumps(record, indent=2, allow_nan=False))


def work(fabric: Fabric, path: pathlib.Path, plan: dict[str, Any], root: str | None, trust: list[str], neighbours: int) -> dict[str, Any]:
    """One process's part; every process returns the record."""
    quiet()
    for module in trust:
        registry.trust(module)
    data = rebuild_data(load_model(path), path, root)
    console = Console(stderr=True, quiet=fabric.global_rank != 0)
    checked = Plan(**{**plan, "scoring": Scoring(**plan["scoring"])})
    record = score_checkpoint(path, checked, data, fabric.device, console)
    if neighbours:
        show_neighbours(path, checked, data, fabric.device, console, neighbours)
    return to_json(record)


def rebuild_data(model: GenerativeModel, path: pathlib.Path, root: str | None = None) -> ImageDataModule:
    """The data that a checkpoint's model was trained on; only the folder comes from this machine's run folder or command line."""
    return data_of(model, root or _root_in_config(run_of(path) / CONFIG_FILE), f"checkpoint {str(path)!r}")


def data_of(model: GenerativeModel, root: str | None, what: str) -> ImageDataModule:
    """The data that a model was trained on.

    Args:
        model: it says which.
        root: their folder; None for the usual one.
        what: how to call the model where it says nothing.
    """
    if model.data_spec is None:
        raise UserError(f"{what}: does not say what it was trained on")
    spec: Spec = registry.as_spec(model.data_spec, f"{what}: data")
    if root is not None:
        spec["init_args"] = spec["init_args"] | {"root": root}
    return registry.build(spec, ImageDataModule, f"{what}: data")


def _root_in_config(file: pathlib.Path) -> str | None:
    value: Any = read_config(file)
    for key in ("data", "init_args", "root"):
        value = value.get(key) if isinstance(value, dict) else None
    return value


def read_config(file: pathlib.Path) -> dict[str, Any]:
    """The configuration in a run's folder; empty where there is none.

    Raises:
        UserError: the file is something else.
    """
    if not file.is_file():
        return {}
    try:
        config = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError):
        config = None
    if not isinstance(config, dict):
        raise UserError(f"{file}: expected the configuration of a run, which it is not (damaged or empty)")
    return config
