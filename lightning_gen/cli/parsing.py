"""From the options of ``fit`` to a configuration, and back to plain data."""

from __future__ import annotations

import argparse
import importlib
import inspect
import pathlib
from typing import Any

import yaml
from jsonargparse import set_dumper, set_loader, set_parsing_settings
from jsonargparse.typing import register_type
from pytorch_lightning.cli import LightningArgumentParser

import lightning_gen.data
import lightning_gen.models
from lightning_gen import registry
from lightning_gen.cli import config_files
from lightning_gen.cli.config_errors import check_options, explain, untrusted
from lightning_gen.data.base import ImageDataModule
from lightning_gen.errors import UserError
from lightning_gen.models.base import GenerativeModel
from lightning_gen.registry import ClassSpec

OWN_OPTIONS = ("config", *config_files.INVOCATION)
"""What is not part of the experiment."""

LIGHTNING = ("pytorch_lightning", "lightning_fabric", "lightning")
"""Packages of callbacks, plugins and profilers that the trainer's options may name."""

# A spec stays plain data: the model builds it, with the arguments that only the model knows.
set_loader(config_files.MODE, config_files.load, (yaml.YAMLError,))
set_dumper(config_files.MODE, lambda content: yaml.safe_dump(content, sort_keys=False))
register_type(ClassSpec, lambda spec: spec.plain, ClassSpec, deserializer_exceptions=UserError, type_check=isinstance)


def parse(parser: LightningArgumentParser, args: list[str]) -> Any:
    """The configuration that a command line describes; a mistake is a UserError of one line."""
    options = parser._option_string_actions
    check_options(args, options)
    for option, value in zip(args, args[1:], strict=False):
        if option == "--config":
            config_files.check_file(pathlib.Path(value), options)
    _import_catalogues()
    # A class path in a file is imported only where --trust or a registered package vouches for it.
    set_parsing_settings(import_path_denylist=["*"], import_path_allowlist=[*LIGHTNING, *registry.trusted_packages()])
    try:
        return parser.parse_args([config_files.with_digits(argument) for argument in args])
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
        raise UserError(f"{key}: {untrusted(class_path)}")


def _argument_names(class_path: str) -> list[str]:
    module, _, name = class_path.rpartition(".")
    names: list[str] = []
    cls = getattr(importlib.import_module(module), name)
    for ancestor in cls.__mro__:
        parameters = inspect.signature(ancestor.__init__).parameters.values() if "__init__" in vars(ancestor) else []
        names += [parameter.name for parameter in list(parameters)[1:] if parameter.kind is not parameter.VAR_KEYWORD]
        if ancestor in (GenerativeModel, ImageDataModule):
            break
    group = "model" if issubclass(cls, GenerativeModel) else "data"
    linked = {key.rpartition(".")[2] for key in config_files.LINKED if key.startswith(f"{group}.")}
    return [option for option in dict.fromkeys(names) if option not in linked]


def _class_names(key: str) -> list[str]:
    names = {"model": dir(lightning_gen.models), "data": dir(lightning_gen.data)}
    return [*names.get(key.partition(".")[0], []), *registry.registered()]
