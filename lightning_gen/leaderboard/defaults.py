"""The defaults of our classes' arguments, read from their source: to import the classes would import torch."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).parent.parent

UNKNOWN = object()
"""A default that is computed: it hides the one of a base class, and is none that can be told."""


def class_defaults(name: str) -> dict[str, Any]:
    """Plain defaults of a class's constructor, those of its base classes behind ``**options`` included.

    Args:
        name: short name, or dotted path, of a class of ours; one that is unknown, or whose name two classes have, has no defaults here.
    """
    found = _definition(name.rpartition(".")[2])
    if found is None:
        return {}
    init = next((node for node in found.body if isinstance(node, ast.FunctionDef) and node.name == "__init__"), None)
    inherits = init is None or init.args.kwarg is not None
    inherited = [class_defaults(base.id) for base in found.bases if isinstance(base, ast.Name)] if inherits else []
    own = {} if init is None else dict(_defaults(init.args))
    every = {key: value for defaults in reversed(inherited) for key, value in defaults.items()} | own
    return {key: value for key, value in every.items() if value is not UNKNOWN}


def _defaults(arguments: ast.arguments) -> Iterator[tuple[str, Any]]:
    positional = [*arguments.posonlyargs, *arguments.args][-len(arguments.defaults) :] if arguments.defaults else []
    pairs = [*zip(positional, arguments.defaults, strict=True), *zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)]
    for argument, default in pairs:
        if default is not None:  # the None of a keyword that has to be given, not the default None
            yield argument.arg, _value(default)


def _value(default: ast.expr) -> Any:
    if isinstance(default, ast.Call) and isinstance(default.func, ast.Name) and default.func.id == "ClassSpec":
        default = default.args[0]  # as plain data, which is how a configuration has it
    try:
        return ast.literal_eval(default)
    except ValueError:
        return UNKNOWN


@cache
def _files() -> dict[str, list[Path]]:
    """Name of every class of the package -> the files that define one of that name."""
    files = defaultdict(list)
    for path in sorted(PACKAGE.rglob("*.py")):
        for name in re.findall(r"^class (\w+)", path.read_text(encoding="utf-8"), re.MULTILINE):
            files[name].append(path)
    return files


@cache
def _definition(name: str) -> ast.ClassDef | None:
    files = _files().get(name, [])
    if len(files) != 1:
        return None
    tree = ast.parse(files[0].read_text(encoding="utf-8"))
    return next(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name)
