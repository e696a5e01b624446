"""What a model says has to be finite: NaN would sort, average and decode to numbers that look like results."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from lightning_gen.errors import UserError
from lightning_gen.models.base import GenerativeModel


def require_finite(what: str, values: Tensor | np.ndarray) -> None:
    """Refuse NaN and infinity; ``what`` is how the message calls the values.

    Raises:
        UserError: there is some.
    """
    if not torch.as_tensor(values).isfinite().all():
        raise UserError(f"{what} are NaN or infinite; expected a model that has been trained")


def require_finite_weights(model: GenerativeModel) -> None:
    """Refuse a model with NaN or infinite weights: as pixels, which are whole numbers, what it makes would not show it."""
    for parameter in model.parameters():
        require_finite(f"{type(model).__name__}: some of its weights", parameter.detach())
