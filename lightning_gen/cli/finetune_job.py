"""What ``finetune`` does once its options are read."""

from __future__ import annotations

import argparse

from lightning_gen.analysis.finetune import BATCH, LEARNING_RATE, finetune
from lightning_gen.cli.analysis_job import opened, percent, publish, require_at_least


def run(options: argparse.Namespace) -> None:
    """Train over seeds, print, record."""
    require_at_least(1, options, "labels", "seeds")
    require_at_least(0, options, "epochs")
    path, model, data = opened(options)
    results = finetune(
        model, data, options.labels, split=options.split, seeds=options.seeds, epochs=options.epochs, weights=options.weights
    )
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
    notes = [
        f"accuracy on {judged} with {options.labels} labelled training images; mean and standard deviation over {options.seeds} seeds, "
        f"the difference paired by seed; {options.epochs} epochs, fixed beforehand"
    ]
    publish(options, path, model, protocol, results, f"finetune-{options.labels}", (["classifier", "accuracy"], rows), notes)
