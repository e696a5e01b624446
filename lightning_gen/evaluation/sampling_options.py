"""Samples otherwise than the model's own way: at a temperature (Kingma & Dhariwal, 2018, arXiv:1807.03039, Section 6), or truncated
(Brock et al., 2019, arXiv:1809.11096, Section 3.1)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

from lightning_gen.errors import UserError
from lightning_gen.models.base import GenerativeModel
from lightning_gen.models.capabilities import SupportsTemperature, SupportsTruncation

OPTIONS: dict[str, type] = {"temperature": SupportsTemperature, "truncation": SupportsTruncation}
"""The capability that each option asks for; it has the attribute of the option's name, and a method that sets it."""


@contextlib.contextmanager
def sampling_with(model: GenerativeModel, options: Mapping[str, float]) -> Iterator[None]:
    """Within, the model samples with these options; afterwards with its own again.

    Args:
        model: the model.
        options: of :data:`OPTIONS`, those that are asked for.

    Raises:
        UserError: the model has no such option, or not this value of it.
    """
    for name, value in options.items():
        if not isinstance(model, OPTIONS[name]):
            raise UserError(f"{name}: {type(model).__name__} has none; expected nothing, got {value}")
    own = {name: getattr(model, name) for name in options}
    try:
        for name, value in options.items():
            getattr(model, f"set_{name}")(value)
        yield
    finally:
        for name, value in own.items():
            getattr(model, f"set_{name}")(value)
