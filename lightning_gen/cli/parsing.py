"""From the options of ``fit`` to a configuration, and back to plain data."""

from __future__ import annotations

import argparse
import importlib
import inspect
from typing import Any

import yaml
from jsonargparse.typing import register_type
from pytorch_lightning.cli import LightningArgumentParser

import lightning_gen.data
import lightning_gen.models
from lightning_gen import registry
from lightning_gen.cli.config_errors import check_options, explain
from lightning_gen.data.base import ImageDataModule
from lightning_gen.errors import UserError
from lightning_gen.models.base import GenerativeModel
from lightning_gen.registry import ClassSpec

OWN_OPTIONS = ("config", "resume", "init_from", "trust")
"""Options of one invocation, which are not part of the experiment; ``fit`` reads them before the parser, which documents them."""

# A spec stays plain data: the model builds it, with the arguments that only the model knows.
register_type(ClassSpec, lambda spec: spec.plain, ClassSpec, deserializer_exceptions=UserError, type_check=isinstance)


def parse(parser: LightningArgumentParser, args: list[str]) -> Any:
    """The configuration that a command line describes; a mistake is a UserError of one line."""
    check_options(args, parser._option_string_actions)
    _import_catalogues()
    try:
        return parser.parse_args(args)
    except (argparse.ArgumentError, argparse.ArgumentTypeError) as error:
        raise UserError(explain(str(error), _argument_names, _class_names)) from error


def _import_catalogues() -> None:
    """jsonargparse finds a class by its short name only once it is imported."""
    for catalogue in (lightning_gen.models, lightning_gen.data):
        for name in dir(catalogue):
            getattr(catalogue, name)
    for name, path in registry.registered().items():
        base = GenerativeModel if name in registry.registered("lightning_gen.models") else ImageDataModule
        registry.resolve(path, base, f"entry point {name}")


def plain_config(parser: LightningArgumentParser, config: Any) -> dict[str, Any]:
    """A parsed configuration as plain data, without the options of one invocation."""
    content = yaml.safe_load(parser.dump(config, skip_unset=False, skip_link_targets=True))
    return {key: value for key, value in content.items() if key not in OWN_OPTIONS}


def user_error_within(error: BaseException | None) -> UserError | None:
    """The complaint of our own constructor that lies at the bottom of jsonargparse's error, if there is one."""
    while error is not None and not isinstance(error, UserError):
        error = error.__cause__ or error.__context__
    return error


def require_trusted(key: str, class_path: str) -> None:
    """Refuse a class that a checkpoint could not name later."""
    if not registry.is_trusted(class_path):
        module = class_path.rpartition(".")[0]
        raise UserError(f"{key}: class {class_path!r} is neither ours nor registered; if you trust its code, pass --trust {module}")


def _argument_names(class_path: str) -> list[str]:
    module, _, name = class_path.rpartition(".")
    names: list[str] = []
    for ancestor in getattr(importlib.import_module(module), name).__mro__:
        names += inspect.signature(ancestor.__init__).parameters if "__init__" in vars(ancestor) else []
        if ancestor in (GenerativeModel, ImageDataModule):
            break
    return names


def _class_names(key: str) -> list[str]:
    names = {"model": dir(lightning_gen.models), "data": dir(lightning_gen.data)}
    return [*names.get(key.partition(".")[0], []), *registry.registered()]
