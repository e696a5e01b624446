"""Hyperparameters are the constructor's arguments, as plain data: what a checkpoint keeps to rebuild a model."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, get_args, get_origin, get_type_hints

from lightning_gen.errors import UserError, given_as
from lightning_gen.registry import ClassSpec


def notes_arguments(init: Callable[..., None]) -> Callable[..., None]:
    """A constructor that notes the arguments of the outermost class, which become the hyperparameters of the checkpoint.

    Layers and networks refuse a number by their own name of it; where that is an argument of the model's, it is one of ``model.`` here.
    """

    @functools.wraps(init)
    def wrapper(self: Any, *args: Any, **kwargs: Any) -> None:
        if "_init_args" in self.__dict__:
            init(self, *args, **kwargs)
            return
        arguments = constructor_arguments(type(self), args, kwargs)
        refuse_unlisted(type(self), arguments)
        self.__dict__["_init_args"] = arguments
        with given_as("model", arguments):
            init(self, *args, **kwargs)

    return wrapper


def constructor_arguments(cls: type, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Every argument of ``cls(*args, **kwargs)`` as plain data, defaults included, through the ``**kwargs`` of its ancestors."""
    values: dict[str, Any] = {}
    for ancestor in cls.__mro__:
        if "__init__" not in vars(ancestor):
            continue
        parameters = list(inspect.signature(ancestor.__init__).parameters.values())[1:]
        named = [parameter for parameter in parameters if parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)]
        if ancestor is cls or not values:
            values |= dict(zip((parameter.name for parameter in named), args, strict=False))
        values = {parameter.name: parameter.default for parameter in named if parameter.default is not parameter.empty} | values
        if all(parameter.kind is not parameter.VAR_KEYWORD for parameter in parameters):
            break
    return plain(values | dict(kwargs))


def refuse_unlisted(cls: type, arguments: Mapping[str, Any]) -> None:
    """Refuse arguments that are none of the values that the annotation lists; a subclass's annotation goes before its ancestors'."""
    known: set[str] = set()
    for ancestor in cls.__mro__:
        if "__init__" not in vars(ancestor) or ancestor is object:
            continue
        hints = get_type_hints(ancestor.__init__)
        for name in hints.keys() - known:
            if get_origin(hints[name]) is Literal and name in arguments and arguments[name] not in get_args(hints[name]):
                choices = " or ".join(map(str, get_args(hints[name])))
                raise UserError(f"model.{name}: expected {choices} for {cls.__name__}, got {arguments[name]!r}")
        known |= hints.keys()


def plain(value: Any) -> Any:
    """Hyperparameters as plain data: tuples become lists, anything that is not data is refused."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, ClassSpec):
        return plain(value.plain)
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    raise UserError(f"hyperparameters must be plain data (int, float, str, bool, list, dict), got {type(value).__name__}: {value!r}")


def require_at_least(smallest: float, **values: float) -> None:
    """Refuse hyperparameters below ``smallest``, by name."""
    for name, value in values.items():
        if not value >= smallest:
            raise UserError(f"model.{name}: expected at least {smallest}, got {value}")


def require_positive(**values: float) -> None:
    """Refuse hyperparameters that are not above zero, by name."""
    for name, value in values.items():
        if not value > 0:
            raise UserError(f"model.{name}: expected a positive number, got {value}")


def require_schedule(learning_rate: float, weight_decay: float, warmup_images: int, decay_images: int) -> None:
    """Refuse an optimiser's settings that are none, and a learning rate that would be zero before it has risen."""
    require_positive(learning_rate=learning_rate)
    require_at_least(0, weight_decay=weight_decay, warmup_images=warmup_images, decay_images=decay_images)
    if 0 < decay_images <= warmup_images:
        raise UserError(f"model.warmup_images: expected fewer than the {decay_images} of model.decay_images, got {warmup_images}")


def require_scales(data_shape: Sequence[int], largest: int, **values: int) -> None:
    """Refuse more scales than the sides of an image ``(C, H, W)`` can be halved for, by name; 0 stands for the model's own choice."""
    if largest < 1:
        raise UserError(f"model.data_shape: expected images with even sides (see data.image_size), got {[*data_shape]}")
    for name, value in values.items():
        if not 0 <= value <= largest:
            raise UserError(f"model.{name}: expected 0 for the usual, or 1 to {largest} for images {[*data_shape]}, got {value}")


def require_default(why: str, **values: tuple[Any, Any]) -> None:
    """Refuse hyperparameters that would change nothing, by name: each value with the default that it has to keep."""
    for name, (value, default) in values.items():
        if value != default:
            raise UserError(f"model.{name}: {why}; expected nothing, got {value}")
