"""Evaluate one checkpoint, show the scores and write the record: what ``fit`` and ``evaluate`` share."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor

from lightning_gen import distributed
from lightning_gen.checkpoint import load_model
from lightning_gen.data.base import ImageDataModule
from lightning_gen.errors import UserError
from lightning_gen.evaluation import Plan, evaluate, is_measurable, require_something_to_measure
from lightning_gen.evaluation import Progress as Report
from lightning_gen.evaluation.neighbours import neighbour_sheet
from lightning_gen.images import save_png
from lightning_gen.leaderboard.per_image import write_values
from lightning_gen.leaderboard.published import verdict
from lightning_gen.leaderboard.record import ResultRecord, Score, write
from lightning_gen.leaderboard.text import printable
from lightning_gen.reporting import describe_checkpoint, make_record, run_of

ON_ONE_LINE = 5
"""More scores than that get a line each."""


def score_checkpoint(path: pathlib.Path, plan: Plan, data: ImageDataModule, device: torch.device, console: Console) -> ResultRecord:
    """Evaluate a checkpoint on all processes; rank 0 shows the scores and writes the record to the run's ``results`` folder."""
    model = load_model(path).to(device)
    if not is_measurable(model, data):
        lacks = "no likelihood and no reconstructions"
        raise UserError(f"{path}: {type(model).__name__} has {lacks}, and {data.name} has no feature extractor to score samples with")
    require_something_to_measure(model, plan.num_samples, "num_samples")
    checkpoint = describe_checkpoint(path)
    with progress_bar(console) as report:
        evaluation = evaluate(model, data, plan, report, key={"checkpoint": checkpoint.sha256})
    record = make_record(model, data, plan, evaluation, run_of(path), checkpoint)
    publish(record, console, evaluation.log_probs)
    return record


def publish(record: ResultRecord, console: Console, log_probs: Tensor | None = None) -> None:
    """Show the scores on rank 0, then write the record, so that a failing disk loses no score.

    Args:
        record: of one checkpoint.
        console: where its scores are shown.
        log_probs: of each image, nats ``(N,)``, written before the record that names them; None where there are none, or they lie there.
    """
    if distributed.rank() == 0:
        separator = ", " if len(record.scores) <= ON_ONE_LINE else "\n  "
        line = f"{record.checkpoint.kind}: " + separator.join(map(in_words, record.scores))
        notes = [f"{score.name}: {note}" for score in record.scores for note in score.details.get("notes", [])]
        where = verdict(record)
        for text in (line, *notes, *([] if where is None else [where])):
            console.print(text, markup=False, highlight=False, soft_wrap=True)
        results = pathlib.Path(record.run_folder) / "results"
        try:
            if log_probs is not None:
                write_values(log_probs.tolist(), results)
            write(record, results)
        except OSError as error:
            raise UserError(f"{results}: the result record cannot be written ({error.strerror or error}); its scores are above") from error


def in_words(score: Score) -> str:
    """``FD(digits-cnn) 1.234 ± 0.010 (real images 0.100)``."""
    sign = "<= " if score.kind not in (None, "exact") else ""
    uncertainty = "" if score.uncertainty is None else f" ± {score.uncertainty:.2g}"
    return printable(f"{score.name} {sign}{score.value:.4g}{uncertainty}{_floor(score)}")


def _floor(score: Score) -> str:
    """What held-out real images get, and how many times that the score is."""
    if score.floor is None:
        return ""
    images = score.details.get("floor_images")
    if images not in (None, score.protocol.get("num_samples")):
        return f" ({images} real images {score.floor:.4g})"  # a distance of another number of images: no ratio
    ratio = f", {score.value / score.floor:.3g}x" if score.better == "lower" and score.floor > 0 else ""
    return f" (real images {score.floor:.4g}{ratio})"


def show_neighbours(
    path: pathlib.Path, plan: Plan, data: ImageDataModule, device: torch.device, console: Console, num_samples: int
) -> None:
    """Write the sheet of samples beside their nearest training images to the run's ``pictures`` folder. Every process calls this."""
    with progress_bar(console) as report:
        sheet = neighbour_sheet(load_model(path).to(device), data, plan, num_samples, report)
    if sheet is not None:
        file = run_of(path) / "pictures" / f"neighbours-{path.stem}.png"
        try:
            file.parent.mkdir(exist_ok=True)
            save_png(sheet, str(file))
        except OSError as error:
            raise UserError(f"{file}: cannot be written ({error.strerror or error})") from error
        console.print(f"nearest training images of {num_samples} samples: {file}", markup=False, highlight=False, soft_wrap=True)


@contextmanager
def progress_bar(console: Console) -> Iterator[Report]:
    """A bar per stage of an evaluation, on rank 0's terminal; nothing elsewhere."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    shown = distributed.rank() == 0 and console.is_terminal and not console.quiet
    with Progress(*columns, console=console, transient=True, disable=not shown) as bar:
        tasks: dict[str, int] = {}

        def report(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bar.add_task(stage, total=total)
            bar.update(tasks[stage], completed=done)

        yield report
