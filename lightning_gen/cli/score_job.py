"""What ``score`` does once its options are read: the same job in one process or in several."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from lightning_fabric import Fabric
from rich.console import Console

from lightning_gen import registry
from lightning_gen.cli.output import quiet
from lightning_gen.cli.processes import check_devices, launch
from lightning_gen.cli.scoring import in_words, progress_bar
from lightning_gen.cli.scoring_options import scoring_arguments
from lightning_gen.evaluation.api import Verdict, score
from lightning_gen.evaluation.claims import parse_claims
from lightning_gen.evaluation.plan import Scoring
from lightning_gen.leaderboard.schema import to_json
from lightning_gen.leaderboard.text import printable

SAMPLE_OPTIONS = ("num_samples", "seed", "image_size", "latent_dim", "weights", "standing_statistics")

quiet()  # here too: a process that is started for --devices imports this before Fabric has something to say


def run(options: argparse.Namespace) -> None:
    """Score and print; what can be checked without images is checked before any process is started."""
    quiet()
    check_devices(options.devices)
    arguments = {name: getattr(options, name) for name in SAMPLE_OPTIONS} | scoring_arguments(options)
    Scoring(**scoring_arguments(options))
    arguments |= {"root": options.root, "claimed": None if options.claimed is None else parse_claims(options.claimed)}
    verdict = launch(work, options.devices, options.source, options.reference, arguments, options.trust)
    for warning in verdict.warnings:
        print(f"warning: {printable(warning)}", file=sys.stderr)
    print(json.dumps(to_json(verdict), indent=2, allow_nan=False) if options.json else report(verdict))


def work(fabric: Fabric, source: str, reference: str | None, arguments: dict[str, Any], trust: list[str]) -> Verdict:
    """One process's part; every process returns the verdict."""
    quiet()
    for module in trust:
        registry.trust(module)
    with progress_bar(Console(stderr=True, quiet=fabric.global_rank != 0)) as progress:
        return score(source, reference, **arguments, device=fabric.device, progress=progress)


def report(verdict: Verdict) -> str:
    """A line for what was compared, for every score, and for every claim."""
    against = "" if verdict.reference == "none" else f" against {verdict.reference}"
    lines = [f"{verdict.num_samples} images of {verdict.samples}{against}", *map(in_words, verdict.scores)]
    return "\n".join(printable(line) for line in [*lines, *(claim.in_words() for claim in verdict.claims)])
