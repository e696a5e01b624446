"""Configuration files: what is wrong with one is said with its name and line, before anything is built from it."""

from __future__ import annotations

import pathlib
import re
from collections.abc import Collection
from typing import Any

import yaml

from lightning_gen.cli.arguments import digits
from lightning_gen.errors import UserError, did_you_mean

MODE = "lightning_gen"
"""Our name for this way of reading YAML among jsonargparse's parser modes."""

LINKED = {
    **dict.fromkeys((f"model.init_args.{name}" for name in ("data_shape", "num_bits", "num_classes", "num_attributes")), "the data"),
    "data.init_args.seed": "seed_everything",
}
"""What nobody has to say, since it follows from something else."""

INVOCATION = ("resume", "init_from", "trust")
"""Options of one invocation, which ``fit`` reads before it reads any file."""

_SCIENTIFIC = r"[-+]?\d+(\.\d*)?[eE][-+]?\d+"


class Loader(yaml.SafeLoader):
    """YAML in which 1e-3 is a number, as in YAML 1.2, and 1e6 a whole one."""


def _construct(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> int | float:
    value = float(node.value)
    return int(value) if value.is_integer() else value


Loader.add_constructor("!scientific", _construct)
Loader.add_implicit_resolver("!scientific", re.compile(f"{_SCIENTIFIC}$"), list("-+0123456789"))


def load(text: str) -> Any:
    """The content of YAML."""
    return yaml.load(text, Loader)


def with_digits(argument: str) -> str:
    """``--key=1e6`` or ``1e6`` with its digits; any other word of a command line as it is."""
    option, equals, value = argument.rpartition("=")
    return f"{option}{equals}{digits(value)}"


def check_file(path: pathlib.Path, options: Collection[str]) -> None:
    """Refuse a file that is no YAML, or that has a key which no option has.

    Args:
        path: the file.
        options: every option of the parser, such as ``--budget.images``.
    """
    content = _read(path)
    groups = {option.removeprefix("--").partition(".")[0] for option in options}
    for key, value in content.items():
        _require_known(path, str(key), groups)
        members = {option.removeprefix("--") for option in options if option.startswith(f"--{key}.")}
        if members and key not in ("model", "data"):  # whose classes know their own arguments
            if not isinstance(value, dict):
                raise UserError(f"--config {path}: {key}: expected keys such as {min(members)}, got {value!r}")
            for name in value:
                _require_known(path, f"{key}.{name}", members)
    for key in INVOCATION:
        if content.get(key) is not None:
            raise UserError(f"--config {path}: {key} belongs on the command line, as --{key}; expected no value")
    for key, source in LINKED.items():
        if _contains(content, key.split(".")):
            raise UserError(f"--config {path}: {key} follows from {source}; expected no value")


def _read(path: pathlib.Path) -> dict[str, Any]:
    try:
        content = load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"--config {path}: cannot be read ({error}); expected a YAML file") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        raise UserError(f"--config {path}{where}: not valid YAML ({getattr(error, 'problem', None) or error})") from error
    if not isinstance(content, dict):
        found = "nothing" if content is None else f"a {type(content).__name__}"
        raise UserError(f"--config {path}: expected keys such as model, data and budget, got {found}")
    return content


def _require_known(path: pathlib.Path, key: str, known: Collection[str]) -> None:
    if key not in known:
        raise UserError(f"--config {path}: unknown key {key!r}; {did_you_mean(key, known)}")


def _contains(content: Any, keys: list[str]) -> bool:
    for key in keys:
        if not isinstance(content, dict) or key not in content:
            return False
        content = content[key]
    return True
