"""Bijections are tested in float64."""

import pytest
import torch


@pytest.fixture(autouse=True)
def wide_default(deterministic):
    """float64 as the default type."""
    torch.set_default_dtype(torch.float64)
