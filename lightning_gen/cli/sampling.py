"""What ``sample`` does once its options are read."""

from __future__ import annotations

import argparse
import os
import pathlib
from collections.abc import Callable

import numpy as np
import torch
from rich.console import Console
from torch import Tensor

from lightning_gen.checkpoint import find_checkpoint, load_model
from lightning_gen.cli.output import quiet
from lightning_gen.cli.scoring import progress_bar
from lightning_gen.errors import UserError
from lightning_gen.evaluation.sampling_options import OPTIONS, sampling_with
from lightning_gen.images import is_image, make_grid, save_png
from lightning_gen.models.base import GenerativeModel
from lightning_gen.models.capabilities import ReportsPlaces, SupportsLatents, SupportsSampling
from lightning_gen.noise import blocks


def run(options: argparse.Namespace) -> None:
    """Draw the samples and write them."""
    quiet()
    path = find_checkpoint(options.checkpoint)
    model = load_model(path)
    if not isinstance(model, SupportsSampling):
        advice = "; 'lightning-gen fit_latents' fits a density to its codes" if isinstance(model, SupportsLatents) else ""
        raise UserError(f"{path}: {type(model).__name__} cannot sample{advice}")
    if options.num_samples < 1:
        raise UserError(f"--num_samples: expected at least 1, got {options.num_samples}")
    write = writer(options.out, model)
    labels = None if options.labels is None else parse_labels(options.labels, model, options.num_samples)
    model.to("cuda" if torch.cuda.is_available() else "cpu")
    asked = {name: value for name in OPTIONS if (value := getattr(options, name)) is not None}
    with sampling_with(model, asked):
        images = draw(model, options.num_samples, options.seed, labels, options.weights)
    try:
        write(images, labels)
    except OSError as error:
        raise UserError(f"--out {options.out}: cannot be written ({error.strerror or error})") from error
    print(f"{options.num_samples} samples of {path} in {options.out}")


def draw(model: GenerativeModel, num_samples: int, seed: int, labels: Tensor | None, weights: str) -> Tensor:
    """All samples, on the CPU, with a progress bar."""
    images = []
    with progress_bar(Console(stderr=True)) as report:
        if isinstance(model, ReportsPlaces):
            model.on_place = lambda done, total: report("places of a block", done, total)
        for block in blocks(num_samples):
            chosen = None if labels is None else labels[block.start : block.stop]
            images.append(model.sample(len(block), seed=seed, labels=chosen, weights=weights, first_index=block.start).cpu())
            report("sampling", block.stop, num_samples)
    return torch.cat(images)


def parse_labels(text: str, model: GenerativeModel, num_samples: int) -> Tensor:
    """``0,1,2`` as classes, or ``0110,1000`` as binary attributes, repeated up to the number of samples."""
    if not model.conditional:
        model.condition(torch.empty(0))  # says so
    parts = text.split(",")
    if model.num_classes:
        expected = f"classes from 0 to {model.num_classes - 1}, such as 0,1,2"
        valid = all(part.isdecimal() and int(part) < model.num_classes for part in parts)
        rows = [int(part) for part in parts] if valid else []
    else:
        expected = f"{model.num_attributes} digits 0 or 1 for each sample"
        valid = all(len(part) == model.num_attributes and set(part) <= {"0", "1"} for part in parts)
        rows = [[int(digit) for digit in part] for part in parts] if valid else []
    if not valid:
        raise UserError(f"--labels {text}: expected {expected}")
    return torch.tensor([rows[index % len(rows)] for index in range(num_samples)])


def writer(name: str, model: GenerativeModel) -> Callable[[Tensor, Tensor | None], None]:
    """How to write to ``name``: a sheet, an array file, or a folder of PNG files; decided before anything is drawn."""
    out, is_folder = pathlib.Path(name), name.endswith(("/", os.sep))
    suffix = "" if is_folder else out.suffix.lower()
    if not name:
        raise UserError("--out: expected sheet.png, samples.npz or folder/, got nothing")
    if suffix == ".npz":
        return lambda images, labels: _write_npz(out, images, labels)
    if not is_image(model.data_shape):
        raise UserError(f"--out {out}: {type(model).__name__} makes vectors, not images; expected a name that ends with .npz")
    if model.data_shape[0] not in (1, 3):
        raise UserError(f"--out {out}: images have {model.data_shape[0]} channels; expected a name that ends with .npz")
    if suffix == ".png":
        return lambda images, labels: _write_whole(out, lambda part: save_png(make_grid(images), part))
    if suffix:
        raise UserError(f"--out {out}: unknown kind of file {suffix!r}; expected sheet.png, samples.npz or folder/")
    return lambda images, labels: _write_folder(out, images)


def _write_whole(out: pathlib.Path, write: Callable[[str], None]) -> None:
    """A complete file or none."""
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_name(f".{out.stem}.partial{out.suffix}")
    try:
        write(str(partial))
        os.replace(partial, out)
    finally:
        partial.unlink(missing_ok=True)


def _write_npz(out: pathlib.Path, images: Tensor, labels: Tensor | None) -> None:
    """``arr_0``: uint8 (N, H, W, C), and ``arr_1``: labels, as the sample files of guided-diffusion."""
    arrays = [images.permute(0, 2, 3, 1).numpy() if images.ndim == 4 else images.numpy()]
    _write_whole(out, lambda part: np.savez(part, *arrays, *([] if labels is None else [labels.numpy()])))


def _write_folder(out: pathlib.Path, images: Tensor) -> None:
    out.mkdir(parents=True, exist_ok=True)
    for index, image in enumerate(images):
        save_png(image, str(out / f"{index:06d}.png"))
