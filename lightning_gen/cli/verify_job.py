"""What ``verify`` does once its options are read: the same evaluation as ``evaluate``, in one process or in several."""

from __future__ import annotations

import argparse
import json
import pathlib
from dataclasses import asdict
from typing import Any

from lightning_fabric import Fabric
from rich.console import Console

from lightning_gen import registry
from lightning_gen.checkpoint import load_model
from lightning_gen.cli.evaluation_job import rebuild_data
from lightning_gen.cli.output import quiet
from lightning_gen.cli.processes import check_devices, launch
from lightning_gen.cli.scoring import progress_bar
from lightning_gen.evaluation import Plan, Scoring, evaluate
from lightning_gen.evaluation.verification import Check, check, checkpoint_of, contradictions, plan_of
from lightning_gen.leaderboard.record import Score, read
from lightning_gen.leaderboard.schema import to_json
from lightning_gen.leaderboard.text import printable

quiet()  # here too: a process that is started for --devices imports this before Fabric has something to say


def run(options: argparse.Namespace) -> int:
    """Verify a record; returns the exit code."""
    quiet()
    check_devices(options.devices)
    file = pathlib.Path(options.result)
    record = read(file)
    path = checkpoint_of(record, file)
    model = load_model(path)
    data = rebuild_data(model, path, options.root)
    data.prepare_data()
    plan = plan_of(record, options.extractor_weights)
    problems = contradictions(record, model)
    # As plain data: Fabric refuses frozen dataclasses.
    verified = launch(work, options.devices, path, asdict(plan), options.root, options.trust)
    checks = check(record.scores, [Score(**score) for score in verified])
    holds = not problems and all(one.holds for one in checks)
    (_print_json if options.json else _print_lines)(checks, problems, holds)
    return 0 if holds else 1


def work(fabric: Fabric, path: pathlib.Path, plan: dict[str, Any], root: str | None, trust: list[str]) -> list[dict[str, Any]]:
    """One process's part; every process returns the scores."""
    quiet()
    for module in trust:
        registry.trust(module)
    model = load_model(path)
    data = rebuild_data(model, path, root)
    checked = Plan(**{**plan, "scoring": Scoring(**plan["scoring"])})
    # Without a key nothing that an earlier evaluation left is taken for what the weights give.
    with progress_bar(Console(stderr=True, quiet=fabric.global_rank != 0)) as report:
        return [asdict(score) for score in evaluate(model.to(fabric.device), data, checked, report).scores]


def _print_lines(checks: list[Check], problems: list[str], holds: bool) -> None:
    for line in [*problems, *(one.in_words() for one in checks)]:
        print(printable(line))
    failed = sum(not one.holds for one in checks) + len(problems)
    print(f"verified: {len(checks)} scores within tolerance" if holds else f"NOT verified: {failed} claims do not hold")


def _print_json(checks: list[Check], problems: list[str], holds: bool) -> None:
    scores = [to_json(one) | {"holds": one.holds} for one in checks]
    print(json.dumps({"holds": holds, "scores": scores, "contradictions": problems}, indent=2, allow_nan=False))
