"""Failures of W&B as one line each: they never stop training."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

from lightning_gen.distributed import say

Method = TypeVar("Method", bound=Callable[..., None])


def harmless(task: str) -> Callable[[Method], Method]:
    """Make a method of an object with a set ``told`` say in one line that it failed, instead of raising.

    A failure that comes back, as with every row while the disk is full, is told once.

    Args:
        task: what did not happen then, as in "W&B: no picture".
    """

    def decorate(method: Method) -> Method:
        @functools.wraps(method)
        def guarded(self: Any, *args: Any, **kwargs: Any) -> None:
            try:
                method(self, *args, **kwargs)
            except Exception as error:  # wandb's, its service's, the network's, the disk's
                if (failure := (task, type(error))) not in self.told:
                    self.told.add(failure)
                    say(f"W&B: {task} ({first_line(error)})")

        return guarded  # type: ignore[return-value]

    return decorate


def first_line(error: Exception) -> str:
    """What an exception says, without its details; its class where it says nothing."""
    return (str(error).splitlines() or [type(error).__name__])[0]
