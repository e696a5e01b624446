"""The options that say how images are scored: shared by ``evaluate``, ``score`` and ``reference``. Imports no torch."""

from __future__ import annotations

import argparse
from typing import Any

BOTH = "tf1,torchmetrics"


def add_network_options(parser: argparse.ArgumentParser) -> None:
    """Which network, and whose conventions."""
    parser.add_argument("--extractor", metavar="NAME", help="feature network (default: the data set's; 'lightning-gen list extractors')")
    parser.add_argument("--extractor_weights", metavar="FILE", help="file with the network's weights (default: found, or downloaded once)")
    parser.add_argument("--layer", metavar="NAME", help="layer of the network, where it has several: 64, 192, 768, 2048 for Inception")
    parser.add_argument("--arithmetic", choices=("fast", "reference"), default="fast", help="reference: torch-fidelity's own forward")


def add_metric_options(parser: argparse.ArgumentParser) -> None:
    """Which scores of samples, and how."""
    metrics = "fid, is, kid, prdc, fd_infinity, per_class, authpct, diversity"
    parser.add_argument("--metrics", metavar="M,...", help=f"of {metrics} (default: by data set)")
    parser.add_argument("--dialect", default="tf1", metavar="D,...", help="tf1 (torch-fidelity), torchmetrics, or 'both' (default: tf1)")
    parser.add_argument("--exact", action="store_true", help="Frechet distance by singular values, to the last digit; slower")
    parser.add_argument("--no_floor", action="store_true", help="do not score held-out real images beside the samples")


def scoring_arguments(options: argparse.Namespace) -> dict[str, Any]:
    """The same as plain arguments of :class:`lightning_gen.evaluation.Scoring`."""
    return {
        "metrics": None if options.metrics is None else tuple(options.metrics.split(",")),
        "extractor": options.extractor,
        "extractor_weights": options.extractor_weights,
        "layer": options.layer,
        "dialects": tuple((BOTH if options.dialect == "both" else options.dialect).split(",")),
        "arithmetic": options.arithmetic,
        "exact": options.exact,
        "floor": not options.no_floor,
    }
