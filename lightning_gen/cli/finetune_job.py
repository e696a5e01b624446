"""What ``finetune`` does once its options are read."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from lightning_gen.analysis.finetune import BATCH, LEARNING_RATE, AfterStep, finetune, images_to_train_on
from lightning_gen.callbacks.progress import Display
from lightning_gen.cli.analysis_job import opened, percent, publish, require_at_least


def run(options: argparse.Namespace) -> None:
    """Train over seeds, print, record."""
    require_at_least(1, options, "labels", "seeds")
    require_at_least(0, options, "epochs")
    path, model, data = opened(options)
    how = {"split": options.split, "seeds": options.seeds, "epochs": options.epochs, "weights": options.weights}
    with shown(images_to_train_on(options.labels, options.seeds, options.epochs)) as after_step:
        results = finetune(model, data, options.labels, **how, after_step=after_step)
    protocol = data.protocol(options.split) | {
        "labels": options.labels,
        "seeds": options.seeds,
        "epochs": options.epochs,
        "batch": min(BATCH, options.labels),
        "optimizer": {"name": "Adam", "learning_rate": LEARNING_RATE},
        "classifier": "linear layer on encode(images), all weights trained",
    }
    rows = [[name, percent(row["mean"], row["standard_deviation"])] for name, row in results.items()]
    judged = f"{data.name} {options.split} ({data.split_size(options.split)} images)"
    spread = "one seed" if options.seeds == 1 else f"mean and standard deviation over {options.seeds} seeds, the difference paired by seed"
    each = of_each_class(options.labels, len(np.unique(data.arrays("train")[1])))
    notes = [
        f"accuracy on {judged} with {options.labels} labelled training images, {each} of each class; {spread}; "
        f"{options.epochs} epochs, fixed beforehand"
    ]
    name = f"finetune-{options.split}-{options.labels}"
    publish(options, path, model, protocol, results, name, (["classifier", "accuracy"], rows), notes)


@contextlib.contextmanager
def shown(total_images: int) -> Iterator[AfterStep]:
    """The display of ``fit``, while classifiers are trained on so many images in all; nothing where none is."""
    display, seen, last = Display(total_images), 0, torch.tensor(0.0)

    def terms() -> dict[str, float]:
        return {"cross_entropy": float(last)}

    def after_step(images: int, loss: Tensor) -> None:
        nonlocal seen, last
        seen, last = seen + images, loss
        if seen < total_images:
            display.advance(seen, terms)
        else:
            display.finish(seen, terms)

    if total_images:
        display.start()
    try:
        yield after_step
    finally:
        display.stop()


def of_each_class(labels: int, classes: int) -> str:
    """How many images each of the classes gets: ``2``, or ``1 to 2`` where they do not divide."""
    fewest, rest = divmod(labels, classes)
    return f"{fewest} to {fewest + 1}" if rest else str(fewest)
