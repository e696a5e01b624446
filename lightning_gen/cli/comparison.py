"""``lightning-gen leaderboard --compare A B``: which of two runs, or recipes, is better, or that it cannot be told."""

from __future__ import annotations

import json
from collections.abc import Iterable

from lightning_gen.leaderboard.compare import Found, compare_named
from lightning_gen.leaderboard.significance import BRACKETS
from lightning_gen.leaderboard.text import printable


def show_comparison(a: str, b: str, found: Found, as_json: bool) -> int:
    """Print one line for each score of the two; returns the exit code."""
    comparison = compare_named(a, b, found)
    if as_json:
        print(json.dumps(comparison.as_json(), indent=2, allow_nan=False))
        return 0
    _print([f"A: {', '.join(comparison.a)}", f"B: {', '.join(comparison.b)}"])
    _print(verdict.in_words() for verdict in comparison.verdicts)
    _print(comparison.notes)
    print(BRACKETS)
    return 0


def _print(lines: Iterable[str]) -> None:
    for line in lines:
        print(printable(line))
