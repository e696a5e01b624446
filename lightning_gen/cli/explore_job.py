"""What ``explore`` does once its options are read."""

from __future__ import annotations

import argparse
import json
import os
import pathlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from rich.console import Console

from lightning_gen.analysis.exploration import Exploration, Explorer, Request
from lightning_gen.analysis.finite import require_finite_weights
from lightning_gen.analysis.kinds import find_kinds, obstacles, refuse_unheeded
from lightning_gen.analysis.latent_space import LatentSpace
from lightning_gen.callbacks.run_folder import CONFIG_FILE, tags_of
from lightning_gen.checkpoint import find_checkpoint, load_model
from lightning_gen.cli.analysis_job import require_at_least
from lightning_gen.cli.evaluation_job import read_config, rebuild_data
from lightning_gen.cli.explore import KINDS
from lightning_gen.cli.output import quiet
from lightning_gen.cli.scoring import progress_bar
from lightning_gen.data.base import ImageDataModule
from lightning_gen.errors import UserError
from lightning_gen.evaluation import Progress
from lightning_gen.files import complete
from lightning_gen.images import save_png
from lightning_gen.leaderboard.schema import to_json
from lightning_gen.leaderboard.text import printable
from lightning_gen.models.base import GenerativeModel
from lightning_gen.reporting import describe_checkpoint, run_of, wandb_id
from lightning_gen.tracking import WandbTracker, wandb_mode


def run(options: argparse.Namespace) -> None:
    """Explore; mistakes are found before anything is drawn."""
    quiet()
    require_at_least(0, options, "seed")
    with progress_bar(Console(stderr=True)) as progress:
        wanted, request = read_request(options, progress)
        path = find_checkpoint(options.checkpoint)
        model = load_model(path)
        data = rebuild_data(model, path, options.root)
        data.prepare_data()
        data.split_size(options.split)
        model.to("cuda" if torch.cuda.is_available() else "cpu")
        space = LatentSpace(model, data, options.split, options.seed)
        folder = writable(pathlib.Path(options.out) if options.out else run_of(path) / "pictures")
        described = describe(options, path, model, data)
        with model.inference(options.weights), tracker_of(run_of(path), options.wandb, tags_of(model, data)) as tracker:
            require_finite_weights(model)
            for explorer in possible(space, wanted, request, by_name=options.kind is not None):
                found = explorer.draw(space, request)
                file = write(found, folder / file_name(explorer, path, named=options.out is not None), described)
                print(printable(f"{explorer.name}: {found.summary}: {file}"), flush=True)
                if tracker is not None:
                    tracker.log_media(f"explore/{explorer.name}", found.picture, model.images_seen)


def read_request(options: argparse.Namespace, progress: Progress) -> tuple[list[Explorer], Request]:
    """The kinds and the options in the words of the analysis."""
    request = Request(
        options.num_images,
        options.steps,
        None if options.images is None else numbers("--images", options.images),
        None if options.labels is None else tuple(options.labels.split(",")),
        None if options.samples is None else tuple(numbers("--samples", group) for group in options.samples.split(":")),
        progress,
    )
    if options.labels is not None and options.samples is not None:
        raise UserError("--samples: expected either labels or samples, got both")
    wanted = find_kinds("--kind", KINDS if options.kind is None else options.kind.split(","))
    refuse_unheeded(request, wanted)
    return wanted, request


def numbers(option: str, text: str) -> tuple[int, ...]:
    """``1,2,3`` as numbers."""
    parts = text.split(",")
    if not all(part.isdecimal() for part in parts):
        raise UserError(f"{option}: expected numbers such as 1,2, got {text!r}")
    return tuple(map(int, parts))


def possible(space: LatentSpace, wanted: list[Explorer], request: Request, *, by_name: bool) -> list[Explorer]:
    """The kinds that the model is capable of; the others are named, and refused where somebody asked for them."""
    found = obstacles(space, wanted, request)
    for option in request.named:
        takers = [explorer.name for explorer in wanted if option in explorer.options]
        if not by_name and all(name in found for name in takers):
            raise UserError(f"--{option}: none of the kinds that take it is possible ({'; '.join(f'{n}: {found[n]}' for n in takers)})")
    for name, obstacle in found.items():
        if by_name:
            raise UserError(f"--kind {name}: {obstacle}")
        print(printable(f"{name}: none, {obstacle}"), flush=True)
    if len(found) == len(wanted):
        raise UserError(f"{space.name}: there is no kind of exploration that it is capable of")
    return [explorer for explorer in wanted if explorer.name not in found]


def file_name(explorer: Explorer, path: pathlib.Path, *, named: bool) -> str:
    """The picture's; with the run's name in a folder that holds more than one run's."""
    run = run_of(path)
    return "-".join(
        ["explore", explorer.name, *([part for part in (run.parent.name, run.name) if part] if named else []), f"{path.stem}.png"]
    )


def describe(options: argparse.Namespace, path: pathlib.Path, model: GenerativeModel, data: ImageDataModule) -> dict[str, object]:
    """What was explored, for the JSON file."""
    return {
        "model": type(model).__name__,
        "checkpoint": to_json(describe_checkpoint(path)),
        "images_seen": model.images_seen,
        "split": options.split,
        "protocol": to_json(data.protocol(options.split)),
        "seed": options.seed,
        "weights": options.weights if model.ema is not None else "live",
    }


def writable(folder: pathlib.Path) -> pathlib.Path:
    """Make the folder, or say in one line why that cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder}: cannot be written ({error.strerror or error})") from error
    return folder


def write(found: Exploration, file: pathlib.Path, described: dict[str, object]) -> pathlib.Path:
    """The picture, and the numbers beside it; complete files or none."""
    try:
        text = json.dumps({**described, **found.numbers}, indent=2, allow_nan=False)
    except ValueError as error:
        raise UserError(f"{file.stem}: some of its numbers are NaN or infinite; expected a model that has been trained") from error
    with complete(file) as picture:
        save_png(found.picture, os.fspath(picture))
    with complete(file.with_suffix(".json")) as numbers:
        numbers.write_text(text + "\n")
    return file


@contextmanager
def tracker_of(run: pathlib.Path, setting: str, tags: tuple[str, ...]) -> Iterator[WandbTracker | None]:
    """The run's W&B run, for pictures; None where there is none or none is wanted."""
    mode = None if setting == "off" or (setting == "auto" and wandb_id(run) is None) else wandb_mode(setting)
    if mode is None:
        yield None
        return
    config = read_config(run / CONFIG_FILE)
    tracker = WandbTracker(run, config, {}, mode, config.get("wandb_project"), tags)
    try:
        yield tracker
    finally:
        tracker.close()
