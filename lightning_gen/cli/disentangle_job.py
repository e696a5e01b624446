"""What ``disentangle`` does once its options are read."""

from __future__ import annotations

import argparse

from lightning_gen.analysis.disentanglement import BINS, FOREST, disentanglement
from lightning_gen.analysis.representations import untrained
from lightning_gen.cli.analysis_job import opened, percent, publish, require_at_least
from lightning_gen.models.capabilities import SupportsPosterior


def run(options: argparse.Namespace) -> None:
    """Measure, print, record."""
    require_at_least(0, options, "seed")
    path, model, data = opened(options)
    results = {"encoder": disentanglement(model, data, options.weights)}
    results["untrained encoder"] = disentanglement(untrained(model, data, options.seed), data)
    kind = "draws of q(z|x)" if isinstance(model, SupportsPosterior) else "encode(images)"
    protocol = data.protocol("test") | {
        "mig": {"codes": kind, "images": "all splits", "bins": BINS},
        "dci": {"codes": "encode(images)", "trained_on": "train", "judged_on": "test", "forest": FOREST},
        "seed": options.seed,
    }
    rows = [
        [name, f"{row['mig']:.3f}", f"{row['disentanglement']:.3f}", f"{row['completeness']:.3f}", percent(row["informativeness"])]
        for name, row in results.items()
    ]
    notes = [f"MIG on {kind} of all images of {data.name}; DCI by random forests, informativeness is their accuracy on the test split"]
    table = ["codes", "MIG", "disentanglement", "completeness", "informativeness"], rows
    publish(options, path, model, protocol, results, "disentangle", table, notes)
