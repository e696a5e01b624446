"""From a name and its options to an extractor."""

from __future__ import annotations

import os
from typing import Any, get_args

import torch

from lightning_gen.errors import UserError, did_you_mean
from lightning_gen.metrics.extractors.base import Extractor
from lightning_gen.metrics.extractors.custom import CallableExtractor
from lightning_gen.metrics.extractors.fidelity import FidelityExtractor, registered_extractors
from lightning_gen.metrics.extractors.in_domain import InDomainExtractor, extractor_names
from lightning_gen.metrics.extractors.inception import Arithmetic, Dialect, InceptionV3TF, require_one_of
from lightning_gen.metrics.extractors.inception_weights import INCEPTION
from lightning_gen.registry import trust

INCEPTION_NAMES = (INCEPTION, "inception-v3-compat")
"""Ours, and torch-fidelity's name of the same network."""


def build_extractor(
    name: str,
    device: torch.device | str = "cpu",
    *,
    weights: str | os.PathLike[str] | None = None,
    dialect: str = "tf1",
    arithmetic: str = "fast",
    layer: str | int | None = None,
    allow_download: bool = True,
) -> Extractor:
    """The extractor that a name stands for. An option that it cannot honour is refused.

    The dialect and the arithmetic belong to an evaluation as a whole and every extractor takes them; only Inception's resize and forward
    depend on them.

    Args:
        name: ``inception-v3-tf``; one of :func:`~lightning_gen.metrics.extractors.in_domain.extractor_names`; a name registered with
            torch-fidelity; or ``module:attribute`` (a dotted name or the path of a ``.py`` file, which is imported), a callable of yours.
        device: where it runs.
        weights: a file with the weights.
        dialect: ``tf1`` or ``torchmetrics``.
        arithmetic: ``fast`` or ``reference``.
        layer: which features.
        allow_download: whether missing weights may be downloaded.
    """
    require_one_of("dialect", dialect, get_args(Dialect))
    require_one_of("arithmetic", arithmetic, get_args(Arithmetic))
    options: dict[str, Any] = {"weights": weights, "layer": layer}
    if name in INCEPTION_NAMES:
        more: dict[str, Any] = {"dialect": dialect, "arithmetic": arithmetic}
        return InceptionV3TF(device, **options, **more, allow_download=allow_download)
    if name in extractor_names():
        refuse(name, options)
        return InDomainExtractor(name, device)
    if name in registered_extractors():
        return FidelityExtractor(name, device, **options, allow_download=allow_download)
    if ":" in name:
        refuse(name, options)
        return user_extractor(name, device)
    raise UserError(f"extractor {name!r}: unknown; {did_you_mean(name, known_extractors())}")


def known_extractors() -> list[str]:
    """Every name that :func:`build_extractor` knows, apart from ``module:attribute``."""
    return sorted({*INCEPTION_NAMES, *extractor_names(), *registered_extractors()})


def refuse(name: str, options: dict[str, Any]) -> None:
    """Refuse options that were given, by name, on behalf of an extractor that has none."""
    for key, value in options.items():
        if value is not None:
            raise UserError(
                f"{key}: extractor {name!r} takes none, got {str(value)!r}; expected it for Inception or torch-fidelity's networks"
            )


def user_extractor(name: str, device: torch.device | str = "cpu") -> Extractor:
    """The extractor that ``module:attribute`` names: a function, a module, an :class:`Extractor`, or a class of the last two."""
    module, _, attribute = name.rpartition(":")
    if module in INCEPTION_NAMES:
        raise UserError(f"extractor {name!r}: expected {module!r} and the file of these weights (weights, or --weights)")
    imported = trust(module)
    found = getattr(imported, attribute, None)
    if found is None:
        raise UserError(f"extractor {name!r}: {module} has no {attribute!r}; {did_you_mean(attribute, public_callables(imported))}")
    if isinstance(found, type):
        found = found()
    if isinstance(found, Extractor):
        return found
    if not callable(found):
        raise UserError(f"extractor {name!r}: expected a callable, got {type(found).__name__}")
    return CallableExtractor(found, f"{imported.__name__}:{attribute}", device)


def public_callables(module: Any) -> list[str]:
    """What a module offers that could be an extractor."""
    return [name for name, value in vars(module).items() if callable(value) and not name.startswith("_")]
