"""Dataclasses to strict JSON and back, with every wrong key, type and value named."""

from __future__ import annotations

import dataclasses
import json
import math
import reprlib
import types
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, Literal, NoReturn, Union, get_args, get_origin, get_type_hints

from lightning_gen.errors import UserError, did_you_mean

NON_FINITE = "$float"
"""The key that marks a number which JSON has no notation for: ``{"$float": "nan"}``."""

DEEPEST = 64
"""Levels of objects and lists; what is deeper could be parsed, but not written again: Python's stack is shorter than the parser's."""

WORDS = {
    bool: "true or false",
    int: "an integer",
    float: "a number",
    str: "a string",
    dict: "an object",
    list: "a list",
    type(None): "null",
}


def to_json(value: Any) -> Any:
    """Plain data or a dataclass as what strict JSON can hold; raises TypeError for anything else (a tensor, say)."""
    if dataclasses.is_dataclass(value):
        return {field.name: to_json(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, float) and not math.isfinite(value):
        return {NON_FINITE: str(float(value))}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple):
        return [to_json(item) for item in value]
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {key: to_json(item) for key, item in value.items()}
    raise TypeError(f"expected plain data with string keys, got {type(value).__name__}: {reprlib.repr(value)}")


def canonical(value: Any) -> str:
    """The one JSON text of equal data: sorted keys, no spaces, ASCII."""
    return json.dumps(to_json(value), sort_keys=True, separators=(",", ":"), allow_nan=False)


def parse(text: str) -> Any:
    """Strict JSON of at most :data:`DEEPEST` levels with :data:`NON_FINITE` numbers restored; raises ValueError for anything else."""
    data = json.loads(text, object_hook=_restore_number, parse_constant=_refuse_constant)
    level = [data]
    for _ in range(DEEPEST):
        level = [item for value in level for item in _items(value)]
    if level:
        raise ValueError(f"nested deeper than {DEEPEST} levels")
    return data


def _items(value: Any) -> Iterable[Any]:
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()


def _restore_number(data: dict[str, Any]) -> Any:
    return float(str(data[NON_FINITE])) if data.keys() == {NON_FINITE} else data


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def decode(hint: Any, data: Any, key: str) -> Any:
    """``data`` as the type ``hint``: a dataclass, a scalar, ``Literal``, ``list[...]``, ``dict`` or one of them ``| None``."""
    if dataclasses.is_dataclass(hint):
        return _decode_object(hint, data, key)
    origin = get_origin(hint)
    if origin in (types.UnionType, Union):  # ``Literal[...] | None`` is the latter
        inner, _ = get_args(hint)
        return None if data is None else decode(inner, data, key)
    if origin is Literal:
        return _decode_choice(get_args(hint), data, key)
    if origin is list:
        items = _decode_plain(list, data, key)
        return [decode(get_args(hint)[0], item, f"{key}[{index}]") for index, item in enumerate(items)]
    return _decode_plain(origin or hint, data, key)


def _decode_object(cls: type, data: Any, key: str) -> Any:
    _decode_plain(dict, data, key)
    hints = _hints(cls)
    prefix = f"{key}." if key else ""
    for name in data.keys() - hints.keys():
        raise UserError(f"{prefix}{name}: unknown key; {did_you_mean(name, hints)}")
    for field in dataclasses.fields(cls):
        if field.name not in data and field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise UserError(f"{prefix}{field.name}: missing")
    return cls(**{name: decode(hints[name], item, f"{prefix}{name}") for name, item in data.items()})


@cache
def _hints(cls: type) -> dict[str, Any]:
    """The types of a dataclass; to evaluate them takes longer than all the rest of reading a record."""
    return get_type_hints(cls)


def _decode_choice(choices: tuple[str, ...], data: Any, key: str) -> str:
    if data not in choices:
        raise UserError(f"{key}: expected one of {', '.join(map(repr, choices))}, got {reprlib.repr(data)}")
    return data


def _decode_plain(expected: type, data: Any, key: str) -> Any:
    # In Python True is an int; in a record it is not.
    accepted = (int, float) if expected is float else expected
    if not isinstance(data, accepted) or (isinstance(data, bool) and expected is not bool):
        raise UserError(f"{key or 'the file'}: expected {WORDS[expected]}, got {reprlib.repr(data)}")
    return float(data) if expected is float else data
