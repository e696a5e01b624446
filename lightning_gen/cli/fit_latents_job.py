"""What ``fit_latents`` does once its options are read."""

from __future__ import annotations

import argparse
import pathlib
from typing import Any

import numpy as np
import torch
import yaml
from rich.console import Console

import lightning_gen.models
from lightning_gen.callbacks.run_folder import CONFIG_FILE, new_run_folder, require_writable
from lightning_gen.checkpoint import find_checkpoint, load_model, save_model, sha256
from lightning_gen.cli.analysis_job import require_at_least
from lightning_gen.cli.evaluation_job import rebuild_data
from lightning_gen.cli.output import quiet
from lightning_gen.cli.scoring import progress_bar
from lightning_gen.data.base import ImageDataModule, default_root
from lightning_gen.errors import UserError
from lightning_gen.models.base import GenerativeModel, Weights
from lightning_gen.models.capabilities import SupportsLatents
from lightning_gen.noise import blocks
from lightning_gen.registry import class_path
from lightning_gen.reporting import run_of

MANY = 10
"""Normals of a mixture when nobody says."""


def run(options: argparse.Namespace) -> None:
    """Fit and write."""
    quiet()
    require_at_least(0, options, "seed")
    components = number_of_components(options)
    path = find_checkpoint(options.checkpoint)
    model = load_model(path)
    wrapper: Any = lightning_gen.models.LatentDensityModel  # which loads when it is first used
    wrapper.require_codes(model)
    data = rebuild_data(model, path, options.root)
    data.prepare_data()
    model.to("cuda" if torch.cuda.is_available() else "cpu")
    codes = codes_of(model, data, number_of_images(options, data), options.weights)
    fitted = wrapper.fitted(model.cpu(), codes, components, options.seed, options.weights)
    folder = write_run(fitted, data, path, options)
    print(f"{fitted.answer_options()['latent_density']}\nrun folder: {folder}\nscore it with: lightning-gen evaluate {folder}")


def number_of_components(options: argparse.Namespace) -> int:
    """One for a normal."""
    if options.density == "gaussian":
        if options.components is not None:
            raise UserError(f"--components: applies to --density mixture only; expected nothing here, got {options.components}")
        return 1
    components = MANY if options.components is None else options.components
    if components < 1:
        raise UserError(f"--components: expected at least 1, got {components}")
    return components


def number_of_images(options: argparse.Namespace, data: ImageDataModule) -> int:
    """All training images, or the first so many."""
    size = data.split_size("train")
    count = size if options.images is None else options.images
    if not 2 <= count <= size:
        raise UserError(f"--images: expected 2 to {size}, the images of the training split, got {count}")
    return count


def codes_of(model: GenerativeModel, data: ImageDataModule, count: int, weights: Weights) -> np.ndarray:
    """The codes of the first training images, ``(N, D)``, with a progress bar."""
    assert isinstance(model, SupportsLatents)
    codes = []
    with progress_bar(Console(stderr=True)) as report, model.inference(weights):
        for block in blocks(count):
            codes.append(model.encode(data.batch("train", block, model.device)[0]).cpu().numpy())
            report("encoding", block.stop, count)
    return np.concatenate(codes)


def write_run(model: GenerativeModel, data: ImageDataModule, path: pathlib.Path, options: argparse.Namespace) -> pathlib.Path:
    """The folder of a new run, with its configuration and checkpoint."""
    old = run_of(path)
    in_a_run = (old / CONFIG_FILE).is_file()
    runs = options.runs or (str(old.parent.parent) if in_a_run else "runs")
    folder = new_run_folder(runs, f"{old.parent.name if in_a_run else path.stem}_{options.density}")
    require_writable(folder)
    (folder / "checkpoints").mkdir()
    (folder / CONFIG_FILE).write_text(yaml.safe_dump(configuration(model, data, path, options), sort_keys=False))
    save_model(model, folder / "checkpoints" / "last.ckpt")
    return folder


def configuration(model: GenerativeModel, data: ImageDataModule, path: pathlib.Path, options: argparse.Namespace) -> dict[str, object]:
    """What the run is, as plain data; its checkpoint alone rebuilds the model."""
    spec = data.specification()
    # A folder that is everybody's default is no part of it.
    root = None if data.root == str(pathlib.Path(default_root()).expanduser()) else data.root
    return {
        "seed_everything": model.training_seed,
        "model": {"class_path": class_path(type(model)), "init_args": model.hyperparameters},
        "data": {**spec, "init_args": {**spec["init_args"], "root": root}},
        "fitted_to": {
            "run": "/".join(run_of(path).parts[-2:]),
            "checkpoint": path.name,
            "sha256": sha256(path),
            "density": options.density,
            "seed": options.seed,
            "images": model.hparams["num_images"],
        },
    }
