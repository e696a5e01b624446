"""Samples at another temperature than the model's own: z from the prior times T (Kingma & Dhariwal, 2018, arXiv:1807.03039, Section 6)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from lightning_gen.errors import UserError
from lightning_gen.models.base import GenerativeModel
from lightning_gen.models.capabilities import SupportsTemperature


@contextlib.contextmanager
def at_temperature(model: GenerativeModel, temperature: float | None) -> Iterator[None]:
    """Within, the model samples at a temperature; afterwards at its own again. None changes nothing.

    Raises:
        UserError: the model has no temperature, or not this one.
    """
    if temperature is None:
        yield
        return
    if not isinstance(model, SupportsTemperature):
        raise UserError(f"temperature: {type(model).__name__} has none; expected nothing, got {temperature}")
    own = model.temperature
    model.set_temperature(temperature)
    try:
        yield
    finally:
        model.set_temperature(own)
