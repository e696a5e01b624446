"""What the tests of the commands share: calling them in this process, and runs of a second that are trained once."""

import pathlib
import shutil
import sys

import pytest
from cli_runs import SMOKE, execute_with, train

from lightning_gen import registry


@pytest.fixture
def execute(capsys):
    """Run ``lightning-gen`` in this process."""
    return lambda *argv: execute_with(capsys, argv)


@pytest.fixture
def refused(execute):
    """Run a command that has to fail with one line which holds all the given words; returns what it left behind."""

    def run(argv, *words):
        outcome = execute(*argv)
        assert outcome.code not in (0, None)
        for word in words:
            assert word in outcome.complaint
        return outcome

    return run


@pytest.fixture
def fit(execute, tmp_path):
    """Train for a second; returns the outcome, which knows the run folder."""

    def run(config, *options):
        outcome = execute("fit", "--config", config, *SMOKE, "--runs", tmp_path / "runs", *options)
        assert outcome.code == 0, outcome.err
        return outcome

    return run


@pytest.fixture(scope="session")
def vae_run(tmp_path_factory):
    """A finished run of an unconditional VAE; read only."""
    return train(tmp_path_factory.mktemp("vae"), "--config", "vae_digits", *SMOKE)


@pytest.fixture(scope="session")
def dcgan_run(tmp_path_factory):
    """A finished run of a conditional DCGAN with averaged weights; read only."""
    return train(tmp_path_factory.mktemp("dcgan"), "--config", "dcgan_digits", *SMOKE, "--model.conditional=true")


@pytest.fixture
def vae_copy(vae_run, tmp_path):
    """A copy of the VAE's run that a test may change."""
    return pathlib.Path(shutil.copytree(vae_run, tmp_path / "vae_digits" / "copy"))


@pytest.fixture
def forget(monkeypatch):
    """What a test trusts or imports is forgotten after it."""
    monkeypatch.setattr(registry, "_trusted", set(registry._trusted))
    modules = set(sys.modules)
    registry.registered.cache_clear()
    yield
    registry.registered.cache_clear()
    for name in set(sys.modules) - modules:
        if name.startswith("their"):
            del sys.modules[name]
