"""What a function reads besides its arguments, by its instructions."""

from __future__ import annotations

import builtins
import dis
import importlib
from collections.abc import Iterator
from types import CodeType, FunctionType, ModuleType
from typing import Any

MISSING = object()

SEES_EVERYTHING = (eval, exec, globals, locals, vars)
"""By these, a function reads what no instruction of it names."""

KEEPS = ("STORE_GLOBAL", "DELETE_GLOBAL", "STORE_DEREF", "DELETE_DEREF")
"""Instructions by which a call leaves something behind for the next one, unless the variable is the function's own."""


class Unidentified(Exception):
    """An object depends on something without a hash."""


def read_by(function: FunctionType) -> Iterator[tuple[str, Any]]:
    """The globals that a function names, and the modules that it imports itself."""
    for code in _with_nested(function.__code__):
        steps = [*dis.get_instructions(code)]
        for number, step in enumerate(steps):
            if step.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
                value = function.__globals__.get(step.argval, getattr(builtins, step.argval, MISSING))
                if any(value is reader for reader in SEES_EVERYTHING):
                    raise Unidentified(f"{function.__qualname__} calls {step.argval}")
                yield step.argval, value
            elif step.opname == "IMPORT_NAME":
                dots = "." * int(steps[number - 2].argval)
                yield step.argval, _imported_module(dots + step.argval, function.__globals__.get("__package__"))


def _imported_module(name: str, package: str | None) -> ModuleType:
    try:
        return importlib.import_module(name, package)
    except Exception as error:  # the module's own code may raise anything
        raise Unidentified(f"{name} cannot be imported") from error


def refuse_memory(function: FunctionType) -> None:
    """A function that leaves something behind answers by what it was asked before."""
    for code in _with_nested(function.__code__):
        for step in dis.get_instructions(code):
            own = "DEREF" in step.opname and step.argval not in function.__code__.co_freevars
            if step.opname in KEEPS and not own:
                raise Unidentified(f"{function.__qualname__} changes {step.argval!r}, which outlives the call")


def _with_nested(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _with_nested(constant)


def names_of(code: CodeType) -> list[str]:
    """All names of globals, attributes and imports in a function's code."""
    return sorted({name for part in _with_nested(code) for name in part.co_names})
