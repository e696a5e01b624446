"""What ``probe`` does once its options are read."""

from __future__ import annotations

import argparse
from typing import Any

from lightning_gen.analysis.inversion import has_inversion, inversion
from lightning_gen.analysis.probe import CLASSIFIER, DRAWS, PER_CLASS, probe
from lightning_gen.cli.analysis_job import opened, percent, publish, require_at_least


def run(options: argparse.Namespace) -> None:
    """Probe, print, record."""
    require_at_least(1, options, "num_images")
    require_at_least(0, options, "seed")
    path, model, data = opened(options)
    accuracies = probe(model, data, options.split, options.num_images, options.seed, options.weights)
    count = min(options.num_images, data.split_size("train"))
    protocol = data.protocol(options.split) | {
        "train_images": count,
        "seed": options.seed,
        "classifier": CLASSIFIER,
        "nearest": "Euclidean distance, unscaled",
        "few": {"labels_per_class": PER_CLASS, "draws": DRAWS},
    }
    few = f"{PER_CLASS} labels a class"
    rows = [
        [name, str(row["features"]), percent(row["nearest"]), percent(row["linear"]), percent(row["few"], row["few_spread"])]
        for name, row in accuracies.items()
    ]
    results: dict[str, Any] = dict(accuracies)
    notes = [
        f"accuracy on {data.name} {options.split}, {data.split_size(options.split)} images, learned from {count} training images; "
        f"few labels: mean and standard deviation over {DRAWS} draws of them"
    ]
    if has_inversion(model):
        results["inversion"] = found = inversion(model, data, options.split, options.num_images, options.seed, options.weights)
        notes.append(
            "x against G(E(x)): {image_error:.4g}, of a stranger {image_error_shuffled:.4g}, ratio {image_ratio:.3f}; "
            "z against E(G(z)): {latent_error:.4g}, of a stranger {latent_error_shuffled:.4g}, ratio {latent_ratio:.3f}".format(**found)
        )
    unfinished = [name for name, row in accuracies.items() if not row["linear_converged"]]
    if unfinished:
        notes.append(f"the linear probe stopped at {CLASSIFIER['max_iter']} iterations on: {', '.join(unfinished)}")
    table = ["features", "number", "nearest neighbour", "linear", few], rows
    publish(options, path, model, protocol, results, f"probe-{options.split}", table, notes)
