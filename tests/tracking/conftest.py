"""What the tests of the trackers share."""

import os

import pytest


@pytest.fixture
def environment(monkeypatch):
    """No W&B settings from outside, and nobody logged in."""
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setattr("wandb.login", lambda **kwargs: False)
    return monkeypatch
