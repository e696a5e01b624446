"""A full or read-only disk is one line, and what was written before it is untouched."""

import errno
import os
import pathlib
import resource
import signal

import pytest
from cli_runs import QUIET, SMOKE, records

from lightning_gen.checkpoint import load_model

FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def fail(*args, **kwargs):
    raise FULL


@pytest.fixture
def small_files(vae_copy):
    """The operating system lets no file grow beyond 300 kB: a write fails in the middle, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, handler)


def contents(folder):
    return {path.name: path.read_bytes() for path in (folder / "checkpoints").iterdir()}


@pytest.mark.usefixtures("small_files")
def test_a_save_that_fails_in_the_middle_leaves_the_checkpoints_as_they_were(refused, vae_copy):
    before = contents(vae_copy)
    assert len(before["last.ckpt"]) > 300_000
    outcome = refused(["fit", "--resume", vae_copy, "--budget.images=512", *QUIET], "last.ckpt: cannot be saved", "untouched")
    assert outcome.code == 2
    assert contents(vae_copy) == before
    assert load_model(vae_copy / "checkpoints" / "last.ckpt").images_seen == 256


def test_a_disk_that_is_full_when_the_file_is_renamed_leaves_it_as_it_was(refused, vae_copy, monkeypatch):
    before = contents(vae_copy)
    monkeypatch.setattr("lightning_gen.callbacks.checkpoints._flush", fail)
    refused(["fit", "--resume", vae_copy, "--budget.images=512", *QUIET], "last.ckpt: cannot be saved", "No space left")
    assert contents(vae_copy) == before


def test_scores_are_printed_before_a_record_that_cannot_be_written(refused, vae_copy, monkeypatch):
    before = records(vae_copy)
    monkeypatch.setattr("lightning_gen.cli.scoring.write", fail)
    outcome = refused(["evaluate", vae_copy, "--num_samples=64", "--likelihood_images=64"], "results", "cannot be written", "No space left")
    assert outcome.err.startswith("best: FD(digits-cnn) ")
    assert records(vae_copy) == before


def test_a_fit_whose_record_cannot_be_written_keeps_its_checkpoints(refused, tmp_path, monkeypatch):
    monkeypatch.setattr("lightning_gen.cli.scoring.write", fail)
    outcome = refused(["fit", "--config", "vae_digits", *SMOKE, "--runs", tmp_path], "results", "cannot be written")
    assert "FD(digits-cnn)" in outcome.err
    assert load_model(outcome.folder / "checkpoints" / "last.ckpt").images_seen == 256


@pytest.mark.parametrize("target", ["lightning_gen.tracking.CSVTracker.log_metrics", "lightning_gen.callbacks.pictures.save_png"])
def test_a_full_disk_in_any_other_write_is_one_line_too(refused, vae_copy, monkeypatch, target):
    monkeypatch.setattr(target, fail)
    refused(["fit", "--resume", vae_copy, "--budget.images=512"], "No space left")
    for kind in ("best", "last"):
        assert load_model(vae_copy / "checkpoints" / f"{kind}.ckpt").images_seen >= 256


def test_a_read_only_run_folder_is_refused_before_anything_is_computed(refused, vae_copy, monkeypatch):
    def touch(path, *args, **kwargs):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    monkeypatch.setattr(pathlib.Path, "touch", touch)
    before = contents(vae_copy)
    refused(["fit", "--resume", vae_copy, "--budget.images=512"], f"run folder '{vae_copy}'", "Read-only file system")
    assert contents(vae_copy) == before
