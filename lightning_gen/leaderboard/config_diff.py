"""What a run's configuration has other than the shipped configuration of its name."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from lightning_gen.configs import BASE, config_names, is_overlay, is_sweep
from lightning_gen.leaderboard.defaults import class_defaults
from lightning_gen.leaderboard.settings import experiment_settings, flat

LENGTH = "budget.images"

BESIDE = (LENGTH, "samples.seed")
"""No part of the experiment's identity, but asked for when two runs are compared: how long was trained, and whose noise a sheet shows."""

DEFAULTS_OF = {LENGTH: "Budget", "samples.seed": "SampleGrid", "ema.half_life_images": "EMA"}
"""Key -> the class whose default it has."""

UNTOUCHED = {"gradient_clip_val": None, "gradient_clip_algorithm": None, "accumulate_grad_batches": 1}
"""Lightning's defaults of the trainer's settings that ``base.yaml`` leaves alone."""

FROM_ELSEWHERE = ("data_shape", "num_bits", "num_classes", "num_attributes", "seed", "root")
"""Arguments of models and data sets that no configuration gives, or that only say where something lies."""

MISSING = "(not set)"

ALIAS = re.compile(r"[\s\[{,:-]\*\w")
MOST_ALIASES = 10
"""A file of a few lines whose aliases repeat aliases stands for more than a memory holds."""

Settings = dict[str, Any]


class Difference(NamedTuple):
    """A key whose value differs; values as text."""

    key: str
    base: str
    run: str


def settings_of(config: dict[str, Any]) -> Settings:
    """The experiment of a whole configuration and :data:`BESIDE`, as dotted keys with one spelling for each value."""
    told = dict(flat({section: config.get(section) for section in {key.partition(".")[0] for key in BESIDE}}))
    beside = {key: told[key] for key in BESIDE if key in told}
    return {key: _one_spelling(value) for key, value in (experiment_settings(_with_specs(config)) | beside).items()}


@cache
def shipped_settings(config_name: str) -> Settings | None:
    """The same of a shipped configuration over ``base.yaml`` and the defaults of its classes; None where none has this name."""
    path = config_names().get(config_name)
    if path is None or is_overlay(path) or is_sweep(path):
        return None
    given = settings_of(_merged(_read(BASE), _read(path)))
    return _defaults_beside(given) | {key: value for key, value in given.items() if value is not None}


def _defaults_beside(given: Settings) -> Settings:
    """The defaults of all that a configuration leaves open; nothing within an argument of which it gives a part."""
    defaults: Settings = {"training_noise": "step"} | {f"trainer.{key}": value for key, value in UNTOUCHED.items()}
    defaults |= {key: class_defaults(name).get(key.rpartition(".")[2]) for key, name in DEFAULTS_OF.items()}
    for section in ("model", "data"):
        arguments = {f"{section}.init_args.{key}": _as_spec(value) for key, value in _class_defaults_of(section, given).items()}
        unset = {key: value for key, value in arguments.items() if not any(other.startswith(f"{key}.") for other in given)}
        defaults |= dict(flat(unset))
    return {key: _one_spelling(value) for key, value in defaults.items()}


def _class_defaults_of(section: str, given: Settings) -> dict[str, Any]:
    defaults = class_defaults(str(given.get(f"{section}.class_path", "")))
    return {key: value for key, value in defaults.items() if key not in FROM_ELSEWHERE}


def differences(base: Settings, run: Settings) -> list[Difference]:
    """Every key whose value differs, in the order of the names.

    A key that one side lacks counts as different, unless what it has there says nothing (null, an empty mapping).
    """
    pairs = [(key, base.get(key), run.get(key)) for key in sorted(base.keys() | run.keys())]
    silent: tuple[Any, ...] = (None, {}, [])
    return [
        Difference(key, _text(base, key), _text(run, key))
        for key, left, right in pairs
        if left != right and not (left in silent and right in silent)
    ]


def read_settings(path: Path) -> Settings | None:
    """The settings in a run's ``config.yaml``; None where it is no configuration."""
    try:
        config = _read(path)
        return settings_of(config)
    except (OSError, UnicodeDecodeError, yaml.YAMLError, ValueError, TypeError, AttributeError, RecursionError):
        return None


def _read(path: Path) -> dict[str, Any]:
    # libyaml's loader where there is one: a thousand configurations take a second rather than ten.
    text = path.read_text(encoding="utf-8")
    if len(ALIAS.findall(text)) > MOST_ALIASES:
        raise ValueError("too many aliases")
    content = yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    if not isinstance(content, dict):
        raise ValueError(f"expected keys and values, got {type(content).__name__}")
    return content


def _merged(base: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    both = {
        key: _merged(base[key], other[key])
        for key in base.keys() & other.keys()
        if isinstance(base[key], dict) and isinstance(other[key], dict)
    }
    return base | other | both


def _with_specs(value: Any) -> Any:
    """Class names of networks, likelihoods and the like as ``{class_path, init_args}``, which is how a run's configuration has them."""
    if not isinstance(value, dict):
        return value
    inner = {key: _with_specs(item) for key, item in value.items()}
    if "init_args" in inner and isinstance(inner["init_args"], dict):
        inner["init_args"] = {key: _as_spec(item) for key, item in inner["init_args"].items()}
    return inner


def _as_spec(value: Any) -> Any:
    is_class = isinstance(value, str) and value[:1].isupper() and value.isidentifier()
    return {"class_path": value} if is_class else value


def _one_spelling(value: Any) -> Any:
    """Class paths by their last name; numbers that YAML 1.1 takes for strings (``1e-3``) as numbers."""
    if not isinstance(value, str):
        return value
    if value.startswith("lightning_gen."):
        return value.rpartition(".")[2]
    try:
        return float(value) if value[:1] in "+-.0123456789" else value
    except ValueError:
        return value


def _text(settings: Settings, key: str) -> str:
    if key not in settings:
        return MISSING
    value = settings[key]
    return value if isinstance(value, str) else yaml.safe_dump(value, default_flow_style=True, width=10_000).removesuffix("...\n").strip()
