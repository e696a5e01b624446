"""The file of a sweep: a W&B sweep file of the method ``grid``, in which plain lists and values may stand for W&B's longer forms."""

from __future__ import annotations

import itertools
import json
import pathlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import yaml

from lightning_gen.cli import config_files
from lightning_gen.errors import UserError, did_you_mean

KEYS = ("program", "command", "method", "parameters", "name", "description", "entity", "project", "metric")
"""What a file may hold. The last five say something to W&B's server alone."""

ARGUMENTS = "${args}"
"""Where W&B's agent puts a member's parameters into the command, and so do we."""

LAUNCH = ("${env}", "${program}", "${interpreter}", "lightning-gen", "python", "-m", "lightning_gen")
"""How a command may start before ``fit``; here a member always runs in the Python that runs the sweep."""

TAKEN = {"runs": "the sweep's folder", "resume": "what the sweep's folder holds"}
"""Options of ``fit`` that a sweep gives to its members itself."""

SEED = "seed_everything"


@dataclass(frozen=True)
class Grid:
    """The product of lists of values, as options of ``fit``.

    Args:
        path: the file.
        parameters: option without hyphens -> its values.
        before: words of every member's command before its parameters.
        after: words after them.
    """

    path: pathlib.Path
    parameters: dict[str, list[Any]]
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()

    def with_seeds(self, text: str) -> Grid:
        """The same with the seeds in ``0,1,2`` in place of the file's."""
        seeds = [seed.strip() for seed in text.split(",")]
        if not all(seed.isdecimal() and int(seed) < 2**32 for seed in seeds):
            raise UserError(f"--seeds: expected whole numbers of at most {2**32 - 1} with commas between them, such as 0,1,2, got {text!r}")
        values = [int(seed) for seed in seeds]
        _refuse_repetition("--seeds", values)
        return replace(self, parameters=self.parameters | {SEED: values})

    def with_options(self, words: list[str]) -> Grid:
        """The same with more options of ``fit`` for every member, which win over the file's."""
        _refuse_taken("options after --", words)
        return replace(self, after=(*self.after, *words))

    def members(self) -> list[tuple[list[str], dict[str, str]]]:
        """Each member's options of ``fit``, and the values by which it differs from others."""
        # A configuration that came later would win over the values.
        names = sorted(self.parameters, key=lambda name: name != "config")
        several = [name for name in names if len(self.parameters[name]) > 1]
        members = []
        for values in itertools.product(*(self.parameters[name] for name in names)):
            texts = dict(zip(names, map(_text, values), strict=True))
            options = [f"--{name}={text}" for name, text in texts.items()]
            members.append(([*self.before, *options, *self.after], {name: texts[name] for name in several}))
        return members


def read_grid(path: pathlib.Path) -> Grid:
    """The grid in a file.

    Raises:
        UserError: it is no YAML, no grid, or has a key that means nothing.
    """
    content = _read(path)
    for key in content:
        if key not in KEYS:
            raise UserError(f"{path}: unknown key {str(key)!r}; {did_you_mean(str(key), KEYS)}")
    if content.get("method", "grid") != "grid":
        raise UserError(f"{path}: method: expected grid, got {content['method']!r}; other methods need W&B's server: wandb sweep {path}")
    parameters = content.get("parameters")
    if not isinstance(parameters, dict) or not parameters:
        raise UserError(f"{path}: parameters: expected options of fit, such as model.learning_rate, with their values, got {parameters!r}")
    before, after = _command(path, content.get("command", ["fit", ARGUMENTS]))
    _refuse_taken(f"{path}: parameters", [f"--{name}" for name in parameters])
    return Grid(path, {str(name): _values(f"{path}: parameters.{name}", spec) for name, spec in parameters.items()}, before, after)


def _read(path: pathlib.Path) -> dict[Any, Any]:
    try:
        content = config_files.load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read ({error}); expected a YAML file") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        raise UserError(f"{path}{where}: not valid YAML ({getattr(error, 'problem', None) or error})") from error
    if not isinstance(content, dict):
        found = "nothing" if content is None else f"a {type(content).__name__}"
        raise UserError(f"{path}: expected a mapping with the key parameters, got {found}")
    return content


def _values(key: str, spec: Any) -> list[Any]:
    """The values of a parameter: a list, one value, or W&B's ``{values: list}`` and ``{value: one}``."""
    if isinstance(spec, dict):
        if spec.keys() not in ({"values"}, {"value"}):
            raise UserError(f"{key}: expected a list, one value, or values or value under it, got {', '.join(map(str, spec)) or 'nothing'}")
        spec = spec["values"] if "values" in spec else [spec["value"]]
        if not isinstance(spec, list):
            raise UserError(f"{key}.values: expected a list, got {spec!r}")
    values = spec if isinstance(spec, list) else [spec]
    if not values:
        raise UserError(f"{key}: expected at least one value, got an empty list")
    _refuse_repetition(key, values)
    return values


def _command(path: pathlib.Path, words: Any) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The options of ``fit`` before and after the parameters."""
    expected = f"expected fit, options, and {ARGUMENTS} once, such as ['${{env}}', '${{program}}', fit, '{ARGUMENTS}']"
    if not isinstance(words, list) or "fit" not in words or words.count(ARGUMENTS) != 1:
        raise UserError(f"{path}: command: {expected}, got {words!r}")
    start = words.index("fit")
    options = [str(word) for word in words[start + 1 :]]
    strange = [str(word) for word in words[:start] if word not in LAUNCH] + [word for word in options if "${" in word and word != ARGUMENTS]
    if strange or ARGUMENTS not in options:
        raise UserError(f"{path}: command: {expected}, got {(strange[0] if strange else words)!r}")
    _refuse_taken(f"{path}: command", options)
    place = options.index(ARGUMENTS)
    return tuple(options[:place]), tuple(options[place + 1 :])


def _refuse_taken(where: str, words: Iterable[str]) -> None:
    for word in words:
        name = word.partition("=")[0].removeprefix("--")
        if word.startswith("--") and name in TAKEN:
            raise UserError(f"{where}: {name} follows from {TAKEN[name]}; expected no value")


def _refuse_repetition(key: str, values: list[Any]) -> None:
    texts = [_text(value) for value in values]
    for text in texts:
        if texts.count(text) > 1:
            raise UserError(f"{key}: {text} occurs {texts.count(text)} times; expected different values")


def _text(value: Any) -> str:
    """A value as a word of the command line."""
    return value if isinstance(value, str) else json.dumps(value, default=str)
