"""Settings that are refused by name before anything is built."""

from __future__ import annotations

import pytest

from lightning_gen.errors import UserError
from lightning_gen.models import MADE, NICE
from lightning_gen.models.base import GenerativeModel


@pytest.mark.parametrize("model", [MADE, NICE])
def test_a_learning_rate_that_is_zero_before_it_has_risen_is_refused(model: type[GenerativeModel]) -> None:
    model([1, 4, 4], hidden=[4], warmup_images=99, decay_images=100)
    model([1, 4, 4], hidden=[4], warmup_images=100)
    with pytest.raises(UserError, match=r"^model.warmup_images: expected fewer than the 100 of model.decay_images, got 100$"):
        model([1, 4, 4], hidden=[4], warmup_images=100, decay_images=100)
