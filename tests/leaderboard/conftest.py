"""A factory of result records: the committed example with a few things replaced."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lightning_gen.leaderboard.record import ResultRecord, read

EXAMPLE = Path(__file__).with_name("example.result.json")


@pytest.fixture
def example() -> ResultRecord:
    return read(EXAMPLE)


@pytest.fixture
def make(example: ResultRecord) -> Callable[..., ResultRecord]:
    """``make("run", fd=..., bpd=..., kind=..., file=..., extractor=..., **fields of the record)``."""

    def make_record(
        run: str = "a",
        *,
        fd: float | None = None,
        bpd: float | None = None,
        kind: str = "best",
        file: str | None = None,
        extractor: str = "digits-cnn",
        **fields: Any,
    ) -> ResultRecord:
        distance, likelihood = example.scores
        scores = []
        if fd is not None:
            scores.append(replace(distance, value=fd, protocol=distance.protocol | {"extractor": extractor}))
        if bpd is not None:
            scores.append(replace(likelihood, value=bpd))
        checkpoint = replace(example.checkpoint, kind=kind, sha256=file or f"{run} {kind}")
        return replace(example, **{"run_name": run, "run_folder": f"runs/{run}", "scores": scores, "checkpoint": checkpoint} | fields)

    return make_record
