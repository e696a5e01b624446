"""jsonargparse's reports of a bad configuration as one line with the key, the value, what was expected, and the nearest match."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from lightning_gen.errors import UserError, did_you_mean

ArgumentNames = Callable[[str], Iterable[str]]
"""The names of the arguments of a class path."""


def explain(message: str, argument_names: ArgumentNames, class_names: Callable[[str], Iterable[str]]) -> str:
    """One line for jsonargparse's ``message``.

    Args:
        message: what jsonargparse says, many lines.
        argument_names: the arguments that a class takes.
        class_names: the short names that may stand under ``model`` or ``data``.
    """
    keys = re.findall(r'Parser key "([^"]+)"', message)
    key = ".".join(keys)
    class_path = re.search(r"given class_path '([^']+)'", message)
    if found := re.search(r"Option '([^']+)' is not accepted", message):
        near = did_you_mean(found[1], argument_names(class_path[1])) if class_path else ""
        return f"{key}.{found[1]}: unknown option; {near}"
    if found := re.search(r"Expected a dot import path string: (\S+)", message):
        return f"{key}: unknown class {found[1]!r}; {did_you_mean(found[1], class_names(key))}"
    if found := re.search(r"arguments are required: (.+)", message):
        return ", ".join(f"{key}.{name}" for name in found[1].split(", ")) + ": required, got nothing"
    if found := re.search(r"Expected a <class '(\w+)'>\. Got value: (.*)", message):
        return f"{key}: expected {found[1]}, got {found[2]!r}"
    return f"{key + ': ' if key else ''}{_remaining(message)}"


def _remaining(message: str) -> str:
    """What jsonargparse says without its headings and without the alternatives that nobody meant."""
    noise = r"Parser key|Does not validate|Subtypes:|Errors:|Given value type|Expected a <class 'NoneType'>|Problem with given class_path"
    lines = [line.strip(" -") for line in message.splitlines()]
    value = next((line.removeprefix("Given value: ") for line in lines if line.startswith("Given value: ")), None)
    kept = [line for line in lines if line and not re.match(noise, line) and not line.startswith("Given value")]
    expected = "; ".join(dict.fromkeys(kept)).replace("<class '", "").replace("'>", "")
    return f"{expected}, got {value!r}" if value is not None and "NestedArg" not in value else expected


def check_options(argv: list[str], known: Iterable[str]) -> None:
    """Refuse options that do not exist, and abbreviations, which argparse would guess at.

    Args:
        argv: the command line.
        known: every option of the parser; ``--model`` and the like allow any ``--model.x``, which is checked with the class.
    """
    options = set(known)
    for argument in argv:
        option = argument.partition("=")[0].removesuffix("+")
        if not option.startswith("--") or option in options:
            continue
        parents = (option[:end] for end in range(len(option)) if option[end] == ".")
        if not any(parent in options for parent in parents if parent not in ("--trainer", "--data", "--model")) and not (
            option.startswith(("--model.", "--data."))
        ):
            raise UserError(f"unknown option {option}; {did_you_mean(option, options)}")
