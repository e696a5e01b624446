"""Arguments of the plain commands: one line per mistake, no abbreviations, nothing to import but the standard library."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any, NoReturn

from lightning_gen.errors import did_you_mean
from lightning_gen.leaderboard.text import printable


class Arguments(argparse.ArgumentParser):
    """The parser of one command; a mistake prints one line that starts with the command and exits with 2.

    Args:
        command: the word after ``lightning-gen``.
        description: what the command does, one sentence.
    """

    def __init__(self, command: str, description: str) -> None:
        super().__init__(prog=f"lightning-gen {command}", description=description, allow_abbrev=False)

    def parse_known_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:
        """As argparse, but an unknown option is named before anything else is complained about."""
        for argument in args or ():
            if argument == "--":
                break
            option = argument.partition("=")[0]
            if option.startswith("--") and option not in self._option_string_actions:
                self.error(f"unknown option {option}; {did_you_mean(option, self._option_string_actions)}")
        return super().parse_known_args(args, namespace)

    def _get_value(self, action: argparse.Action, text: str) -> Any:
        return super()._get_value(action, digits(text) if action.type is int else text)

    def error(self, message: str) -> NoReturn:
        """Print one line and exit; no usage dump."""
        self.exit(2, f"{self.prog}: {printable(message)}\n")


def digits(text: str) -> str:
    """1e6 as 1000000; anything that is no such whole number as it is."""
    try:
        value = float(text)
    except ValueError:
        return text
    return str(int(value)) if "e" in text.lower() and value.is_integer() else text
