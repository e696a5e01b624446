"""Which classes a configuration or a checkpoint may name: ours, those registered by an entry point, and those explicitly trusted.

A checkpoint names the classes it is made of. Importing whatever a file names would run whatever code it names, so a class path is
imported only when its module is ours, belongs to a package registered under one of the entry point groups, or was named with ``--trust``.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import pathlib
import sys
from collections.abc import Iterable
from functools import cache
from importlib.metadata import entry_points
from types import ModuleType
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import yaml

from lightning_gen.errors import NO_NEAR_MATCH, UserError, did_you_mean, given_as

ENTRY_POINT_GROUPS = ("lightning_gen.models", "lightning_gen.data")

Spec = dict[str, Any]
"""``{"class_path": ..., "init_args": {...}}``: how a configuration or a checkpoint names an object, as plain data."""


class ClassSpec:
    """A spec as the type of a constructor argument: the command line takes a class name or ``{class_path, init_args}`` and builds nothing.

    Args:
        spec: the plain form.
    """

    def __init__(self, spec: str | Spec) -> None:
        self.plain = as_spec(yaml.safe_load(spec) if isinstance(spec, str) else spec, "spec")

    def __repr__(self) -> str:
        return f"ClassSpec({self.plain!r})"


T = TypeVar("T")

_trusted: set[str] = {"lightning_gen"}


@cache
def registered(*groups: str) -> dict[str, str]:
    """Short name -> class path of everything that installed packages register for us, in one group or in all."""
    points = [point for group in groups or ENTRY_POINT_GROUPS for point in entry_points(group=group)]
    return {point.name: point.value.replace(":", ".") for point in points}


def trust(module: str) -> ModuleType:
    """Import ``module`` (a dotted name, or the path of a ``.py`` file) and allow its classes from now on."""
    try:
        imported = _import_file(pathlib.Path(module)) if module.endswith(".py") else importlib.import_module(module)
    except (ImportError, OSError, SyntaxError) as error:
        raise UserError(f"--trust {module}: cannot be imported ({error})") from error
    _trusted.add(imported.__name__)
    return imported


def _import_file(path: pathlib.Path) -> ModuleType:
    name = path.stem
    if name in sys.modules:
        loaded = getattr(sys.modules[name], "__file__", None)
        if loaded is None or pathlib.Path(loaded).resolve() != path.resolve():
            raise ImportError(f"a different module named {name!r} is already imported; rename the file")
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # before execution, so that its classes can be found by their own module name
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def is_trusted(class_path: str) -> bool:
    """Whether the module of ``class_path`` may be imported."""
    return any(class_path.startswith(package + ".") for package in trusted_packages())


def trusted_packages() -> set[str]:
    """Modules and packages whose classes may be used: ours, the registered ones, and those named with ``--trust``."""
    return _trusted | {path.partition(".")[0] for path in registered().values()}


def class_path(cls: type) -> str:
    """The name under which :func:`resolve` finds ``cls`` again."""
    return f"{cls.__module__}.{cls.__qualname__}"


def resolve(name: str, base: type[T], key: str) -> type[T]:
    """The subclass of ``base`` that ``name`` (a short name or a full class path) stands for.

    Args:
        name: ``VAE``, ``lightning_gen.models.autoencoders.vae.VAE``, or a registered name.
        base: what the class must derive from; its package lists the short names.
        key: how error messages call the setting that holds the name.
    """
    home = base.__module__.rpartition(".")[0]
    package = importlib.import_module(home)
    ours = f"{home}.{name}"
    path = name if "." in name else ours if name in dir(package) else registered().get(name, ours)
    if not is_trusted(path):
        raise UserError(
            f"{key}: class {name!r} is neither ours nor registered; if you trust its code, pass --trust {path.rpartition('.')[0]}"
        )
    module, _, attribute = path.rpartition(".")
    try:
        cls = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        if isinstance(error, ImportError) and not f"{module}.".startswith(f"{error.name}."):  # something that the module itself needs
            raise UserError(f"{key}: {name!r} cannot be imported ({error})") from error
        raise UserError(f"{key}: unknown class {name!r}; {nearest_class(attribute, [*_derived(package, base), *registered()])}") from None
    if cls is base:
        raise UserError(f"{key}: {name!r} is what the others derive from; {did_you_mean('', _derived(package, base))}")
    if not (isinstance(cls, type) and issubclass(cls, base)):
        raise UserError(f"{key}: {name!r} is not a {base.__name__}; expected a class derived from it")
    return cls


def nearest_class(name: str, names: Iterable[str]) -> str:
    """The ending of a line about a class that there is not: the nearest one, all of them, or where they are listed."""
    names = list(names)
    hint = did_you_mean(name, names)
    return f"no near match among {len(names)}; 'lightning-gen list' shows them" if hint == NO_NEAR_MATCH else hint


def _derived(package: ModuleType, base: type) -> list[str]:
    """The names of those classes of a package that may stand where one derived from ``base`` has to."""
    classes = {name: getattr(package, name) for name in dir(package) if name[0].isupper()}
    return [name for name, cls in classes.items() if isinstance(cls, type) and issubclass(cls, base) and cls is not base]


def as_spec(value: str | Spec | ClassSpec, key: str) -> Spec:
    """The full form of ``"Gaussian"``, ``{"class_path": "Gaussian", "init_args": {...}}`` or ``{"class_path": "Gaussian", "scale": 1}``."""
    if isinstance(value, ClassSpec):
        return value.plain
    if isinstance(value, str):
        return {"class_path": value, "init_args": {}}
    spec = dict(value) if isinstance(value, dict) else {}
    name = spec.pop("class_path", None)
    init_args = spec.pop("init_args", None) or {}
    if not isinstance(name, str) or not isinstance(init_args, dict):
        raise UserError(f"{key}: expected a class name or {{class_path, init_args}}, got {value!r}")
    return {"class_path": name, "init_args": init_args | spec}


def build(value: str | Spec | ClassSpec, base: type[T], key: str, **context: Any) -> T:
    """The object that a spec describes; ``context`` holds the arguments that the caller knows better than the configuration."""
    spec = as_spec(value, key)
    cls = resolve(spec["class_path"], base, key)
    check_arguments(cls, spec["init_args"], key, context)
    try:
        with given_as(key, {*inspect.signature(cls).parameters, *spec["init_args"]} - context.keys()):
            return cls(**spec["init_args"], **context)
    except TypeError as error:
        raise UserError(f"{key} ({cls.__name__}): {error}") from error


def check_arguments(cls: Any, arguments: dict[str, Any], key: str, context: Iterable[str] = ()) -> None:
    """Refuse arguments that a class does not take, or whose type is not the annotated one, by name.

    Args:
        cls: the class; one that passes ``**kwargs`` on is not looked into.
        arguments: what a configuration gives it.
        key: how error messages call the setting.
        context: arguments that are not the configuration's to give.
    """
    parameters = inspect.signature(cls.__init__).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return
    hints = get_type_hints(cls.__init__)
    own = [name for name in parameters if name != "self" and name not in context]
    for name, value in arguments.items():
        if name not in own:
            raise UserError(f"{key}.{name}: unknown option of {cls.__name__}; {did_you_mean(name, own)}")
        if not _fits(value, hints.get(name, Any)):
            raise UserError(f"{key}.{name}: expected {_in_words(hints[name])}, got {value!r}")


def _fits(value: Any, hint: Any) -> bool:
    """Whether plain data fits an annotation; annotations other than those of plain data are not judged."""
    if get_origin(hint) is Literal:
        return value in get_args(hint)
    if get_origin(hint) is list:
        return isinstance(value, list | tuple) and all(_fits(item, get_args(hint)[0]) for item in value)
    if hint in (int, float):
        return isinstance(value, (int, hint)) and not isinstance(value, bool)
    return isinstance(value, hint) if hint in (bool, str) else True


def _in_words(hint: Any) -> str:
    if get_origin(hint) is Literal:
        return f"one of {', '.join(map(str, get_args(hint)))}"
    return hint.__name__ if isinstance(hint, type) and not get_args(hint) else str(hint)
