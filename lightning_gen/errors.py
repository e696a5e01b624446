"""Errors that a user can act on: one line, an exit code, never a traceback."""

from __future__ import annotations

import contextlib
import difflib
from collections.abc import Container, Iterable, Iterator


class UserError(Exception):
    """Bad input: the message names the key, the value and what was expected. The command line prints it and exits with ``exit_code``."""

    exit_code = 2


class NonFiniteLossError(UserError):
    """A loss term became NaN or infinite; every rank stops together."""

    exit_code = 3


class Preempted(UserError):
    """SIGTERM or SIGUSR1 arrived: the run saved itself between two steps and can be resumed."""

    exit_code = 75


@contextlib.contextmanager
def given_as(prefix: str, names: Container[str]) -> Iterator[None]:
    """What a part refuses as ``width: ...`` is refused as ``prefix.width: ...`` where the user gave the whole that name's value.

    Args:
        prefix: how the user calls the whole.
        names: the arguments that the user gives it; a complaint of anything else passes as it is.
    """
    try:
        yield
    except UserError as error:
        if str(error).partition(":")[0] in names:
            raise type(error)(f"{prefix}.{error}") from error
        raise


NO_NEAR_MATCH = "no near match"
"""What is said where nothing is near and there is too much to list."""


def did_you_mean(name: str, options: Iterable[str]) -> str:
    """The ending of an error line: the nearest of ``options`` when one is near, otherwise all of them when they are few."""
    options = sorted(options)
    # Compare without case, so that "dcgan" finds "DCGAN".
    by_lower = {option.lower(): option for option in reversed(options)}
    near = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.65)
    if near:
        return f"did you mean {by_lower[near[0]]!r}?"
    return f"expected one of {', '.join(options)}" if 0 < len(options) <= 30 else NO_NEAR_MATCH
