"""What ``debug`` does once its options are read."""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import pathlib
from typing import Any

from lightning_gen.analysis.nonfinite import KEY, Replay, last_good_checkpoint, read_failure, replay
from lightning_gen.bijections.trace import LayerTrace
from lightning_gen.cli.output import quiet
from lightning_gen.errors import UserError
from lightning_gen.leaderboard.render import print_table

HEADERS = ("layer", "class", "lowest", "highest", "|log-det|/dim", "|log-scale|", "float32", "float64")


def run(options: argparse.Namespace) -> None:
    """Replay and print."""
    quiet()
    file, content = read_failure(options.run)
    replays = _replays(options.weights, file, content)
    if options.json:
        print(json.dumps(_report(file, content[KEY], replays), indent=2, allow_nan=False))
        return
    for line in _story(file, content[KEY]):
        print(line)
    for found in replays:
        print()
        _print(found)


def _replays(weights: str | None, file: pathlib.Path, content: dict[str, Any]) -> list[Replay]:
    checkpoint = last_good_checkpoint(file, content)
    if weights == "checkpoint":
        if checkpoint is None:
            raise UserError(f"--weights checkpoint: the run has no checkpoint from before the failure ({file}); expected failed")
        return [replay(file, content, checkpoint)]
    failed = replay(file, content)
    again = weights is None and failed.bad_weights and checkpoint is not None
    return [failed, *([replay(file, content, checkpoint)] if again else [])]


def _story(file: pathlib.Path, failure: dict[str, Any]) -> list[str]:
    """What the file says, in lines."""
    terms = ", ".join(f"{name} {value:.4g}" for name, value in failure["terms"].items())
    lines = [
        f"{file}: {failure['what']} became NaN or infinite, {failure['where']}",
        f"step {failure['batches_seen']}, after {failure['images_seen']} images, rank {failure['rank']}, "
        f"{len(failure['images'])} images, {failure['precision']} on {failure['device']}; terms then: {terms or 'none'}",
    ]
    if failure["later_steps"]:
        lines.append(f"noticed {failure['later_steps']} step(s) later: the batch is that of the failure, the weights have moved on")
    return lines


def _print(found: Replay) -> None:
    rows = []
    single = found.single.trace.layers
    for layer in found.double.trace.rows():
        scales = [_number(layer.low), _number(layer.high), _number(layer.log_det), _number(layer.log_scale)]
        rows.append([layer.name, layer.kind, *scales, _state(single.get(layer.name)), _state(layer)])
    which = "the weights at the failure" if found.weights == "failed" else "the last good checkpoint"
    print(f"{which}, {found.images_seen} images seen")
    losses = [f"{kind}: {_terms(terms)}" for kind, terms in (("float32", found.single.terms), ("float64", found.double.terms))]
    print_table(HEADERS, rows, numeric=frozenset(range(2, 6)), notes=["numbers are those of float64", *losses, found.verdict])


def _terms(terms: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.6g}" for name, value in terms.items()) or "the model names no terms"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _state(layer: LayerTrace | None) -> str:
    """finite, or what is not."""
    if layer is None:
        return "not reached"
    return "not finite" if not layer.finite else "gradient not finite" if layer.finite_gradient is False else "finite"


def _report(file: pathlib.Path, failure: dict[str, Any], replays: list[Replay]) -> dict[str, Any]:
    told = ("what", "where", "terms", "images_seen", "batches_seen", "rank", "later_steps", "precision", "device", "last_checkpoint")
    return _plain(
        {
            "file": str(file),
            **{key: failure[key] for key in told},
            "num_images": len(failure["images"]),
            "replays": [
                {
                    "weights": found.weights,
                    "images_seen": found.images_seen,
                    "non_finite_weights": found.bad_weights,
                    "verdict": found.verdict,
                    "float32": {"terms": found.single.terms, "layers": _layers(found.single.trace.rows())},
                    "float64": {"terms": found.double.terms, "layers": _layers(found.double.trace.rows())},
                }
                for found in replays
            ],
        }
    )


def _layers(rows: list[LayerTrace]) -> list[dict[str, Any]]:
    return [dataclasses.asdict(row) for row in rows]


def _plain(value: Any) -> Any:
    """JSON has no word for NaN and infinity: they become text."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
