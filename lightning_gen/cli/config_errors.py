"""jsonargparse's reports of a bad configuration as one line with the key, the value, what was expected, and the nearest match."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable

from lightning_gen.cli.config_files import LINKED
from lightning_gen.errors import UserError, did_you_mean
from lightning_gen.registry import nearest_class

ArgumentNames = Callable[[str], Iterable[str]]
"""The names of the arguments of a class path."""


def explain(message: str, argument_names: ArgumentNames, class_names: Callable[[str], Iterable[str]]) -> str:
    """One line for jsonargparse's ``message``.

    Args:
        message: what jsonargparse says, many lines.
        argument_names: the arguments that a class takes.
        class_names: the short names that may stand under ``model`` or ``data``.
    """
    key = ".".join(re.findall(r'Parser key "([^"]+)"', message))
    class_path = re.search(r"given class_path '([^']+)'", message)
    if found := re.search(r"Option '([^']+)' is not accepted", message):
        if found[1] == "class_path":
            return f"{key}: expected the arguments of the class under init_args, got them beside class_path"
        near = did_you_mean(found[1], argument_names(class_path[1])) if class_path else "expected no such key"
        of = f" of {class_path[1].rpartition('.')[2]}" if class_path else ""
        return f"{_dotted(key, found[1])}: unknown option{of}; {near}"
    if found := re.search(r"Expected a dot import path string: (\S+)", message):
        return f"{key}: unknown class {found[1]!r}; {nearest_class(found[1], class_names(key))}"
    if found := re.search(r"Importing '([^']+)' is not allowed", message):
        return f"{key}: {untrusted(found[1])}"
    if found := re.search(r"Unable to load config (.+)", message):
        group = key.partition(".")[0]
        return f"{group}: expected its options by their names (--{group}.NAME VALUE), got {found[1]}"
    if "Not a valid subclass of" in message:
        return f"{key}: expected the name of a class, or class_path and init_args"
    if found := re.search(r"arguments are required: (.+)", message):
        return ", ".join(_dotted(key, name) for name in found[1].split(", ")) + ": required, got nothing" + _advice(key)
    return f"{key + ': ' if key else ''}{_expectation(message)}"


def untrusted(class_path: str) -> str:
    """Why a class is refused whose code nobody has vouched for, and what to do."""
    module = class_path.rpartition(".")[0]
    return f"class {class_path!r} is neither ours nor registered; if you trust its code, pass --trust {module}, or its .py file"


def _dotted(*keys: str) -> str:
    return ".".join(key for key in keys if key)


def _advice(key: str) -> str:
    return "" if key else "; expected --config NAME (see lightning-gen list configs), or --model and --data"


def _expectation(message: str) -> str:
    """``expected int, got 'x'``, out of a report on every alternative of a type."""
    value = re.search(r"(?:Given|Got) value: (.*)", message)
    if value is None:
        return _without_headings(message)
    if nested := re.match(r"NestedArg\(key='([^']*)', val=(.*)\)", value[1]):
        return f"expected a class name or '{{class_path: ..., init_args: {{{nested[1]}: ...}}}}' as one value, got .{nested[1]} by itself"
    choices = [str(choice) for literal in re.findall(r"typing\.Literal(\[.*?\])", message) for choice in ast.literal_eval(literal)]
    types = [name for name in re.findall(r"Expected a <class '(\w+)'>", message) if name != "NoneType"]
    expected = [*dict.fromkeys(types), *(["one of " + ", ".join(dict.fromkeys(choices))] if choices else [])]
    if not expected:
        return _without_headings(message)
    return f"expected {' or '.join(expected)}, got {value[1]!r}"


def _without_headings(message: str) -> str:
    """What jsonargparse says without its headings and without the alternatives that nobody meant."""
    noise = r"Parser key|Does not validate|Subtypes:|Errors:|Given value|Expected a <class 'NoneType'>|Problem with given class_path"
    lines = [line.strip(" -") for line in message.splitlines()]
    return "; ".join(dict.fromkeys(line for line in lines if line and not re.match(noise, line)))


def check_options(argv: list[str], known: Iterable[str]) -> None:
    """Refuse options that do not exist, that follow from another one, and abbreviations, which argparse would guess at.

    Args:
        argv: the command line.
        known: every option of the parser; ``--model`` and the like allow any ``--model.x``, which is checked with the class.
    """
    options = set(known)
    linked = {f"--{key.replace('init_args.', '')}": source for key, source in LINKED.items()}
    for argument in argv:
        option = argument.partition("=")[0].removesuffix("+")
        if not option.startswith("--") or option in options:
            continue
        if source := linked.get(option.replace("init_args.", "")):
            raise UserError(f"{option} follows from {source}; expected no value")
        parents = (option[:end] for end in range(len(option)) if option[end] == ".")
        takes_class = option.startswith(("--model.", "--data.")) or any("." in parent and parent in options for parent in parents)
        if not takes_class:
            raise UserError(f"unknown option {option}; {_nearest(option, options)}")


def _nearest(option: str, options: set[str]) -> str:
    """The nearest option, by its group alone where there is no such group: what a class takes is no option of the parser."""
    group, _, name = option.partition(".")
    groups = {known.partition(".")[0] for known in options}
    if not name or group in groups:
        return did_you_mean(option, options)
    return did_you_mean(group, groups).replace("'?", f".{name}'?")
