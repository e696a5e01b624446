"""A run that is told to go away saves itself between two steps, and one that is killed while it saves loses nothing that was saved."""

import functools
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest
import pytorch_lightning as pl
from training_runs import DCGAN_RUN, QUIET, SILENT, VAE_RUN, content, different, fit_command, only_run

from lightning_gen.cli import main
from lightning_gen.models import DCGAN
from lightning_gen.models.base import CHECKPOINT_KEY

BATCH = 250
TOTAL = 8 * BATCH
MODELS = {"vae": VAE_RUN, "dcgan": DCGAN_RUN}


def checkpoint(folder):
    return content(folder / "checkpoints" / "last.ckpt")


@pytest.fixture(scope="module")
def whole(pool, tmp_path_factory):
    """``whole(model, world_size)``: what the last checkpoint of an uninterrupted run holds."""

    @functools.cache
    def run(model, world_size):
        runs = tmp_path_factory.mktemp("whole")
        pool(fit_command, [*MODELS[model], *QUIET, *SILENT, f"--runs={runs}", f"--budget.images={TOTAL}"], world_size=world_size)
        return checkpoint(only_run(runs))

    return run


def resume_and_compare(pool, folder, expected, world_size):
    pool(fit_command, ["--resume", str(folder), f"--budget.images={TOTAL}"], world_size=world_size)
    assert different(checkpoint(folder), expected) == []


# Killed.


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def doomed_fit(rank, world_size, argv, moment):
    """``fit`` that is killed at a moment of its second save of ``last.ckpt``: when half is written, or before the file gets its name."""
    saves = []
    save, replace = pl.Trainer.save_checkpoint, os.replace

    def save_half(trainer, path, *arguments, **options):
        save(trainer, path, *arguments, **options)
        saves.append(path)
        if moment == "half written" and rank == 0 and len(saves) == 2:
            os.truncate(path, os.path.getsize(path) // 2)
            die()

    def replace_or_die(source, target):
        if moment == "before the renaming" and str(target).endswith("last.ckpt") and os.path.exists(target):
            die()
        replace(source, target)

    pl.Trainer.save_checkpoint, os.replace = save_half, replace_or_die
    fit_command(rank, world_size, argv)


@pytest.mark.parametrize("world_size", [1, 2])
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("moment", ["half written", "before the renaming"])
def test_a_kill_during_a_save_leaves_the_last_checkpoint_intact(moment, model, world_size, whole, pool, tmp_path):
    expected = whole(model, world_size)
    argv = [*MODELS[model], *QUIET, *SILENT, "--checkpoints.every_images=500", f"--runs={tmp_path}", f"--budget.images={TOTAL}"]
    with pytest.raises(RuntimeError, match=r"rank 0 has died \(exit code -9\)"):
        pool(doomed_fit, argv, moment, world_size=world_size)
    folder = only_run(tmp_path)
    assert checkpoint(folder)[CHECKPOINT_KEY]["batches_seen"] == 2
    assert (folder / "checkpoints" / "last.partial").exists(), "the kill came while the second one was written"
    resume_and_compare(pool, folder, expected, world_size)
    assert [path.name for path in (folder / "checkpoints").iterdir()] == ["last.ckpt"]


def full_disk(rank, world_size, argv):
    """``fit`` whose disk is full at the second save; the exit code and what is told."""
    saves = []
    save = pl.Trainer.save_checkpoint

    def save_or_fail(trainer, path, *arguments, **options):
        save(trainer, path, *arguments, **options)
        saves.append(path)
        if len(saves) == 2:
            raise OSError(28, "No space left on device")

    pl.Trainer.save_checkpoint = save_or_fail
    try:
        with pytest.raises(SystemExit) as caught:
            main(["fit", *argv, "--trainer.accelerator=cpu"])
    finally:
        pl.Trainer.save_checkpoint = save
    return caught.value.code


def test_a_full_disk_is_one_line_and_leaves_the_last_checkpoint_intact(whole, pool, tmp_path):
    argv = [*VAE_RUN, *QUIET, *SILENT, "--checkpoints.every_images=500", f"--runs={tmp_path}", f"--budget.images={TOTAL}"]
    assert pool(full_disk, argv) == [2]
    folder = only_run(tmp_path)
    assert [path.name for path in (folder / "checkpoints").iterdir()] == ["last.ckpt"]
    assert checkpoint(folder)[CHECKPOINT_KEY]["batches_seen"] == 2
    resume_and_compare(pool, folder, whole("vae", 1), 1)


# Told to go.


def signalled_fit(rank, world_size, argv, number, batch, told):
    """``fit`` in which the rank ``told`` gets a signal in the middle of a step: between the GAN's two updates. Returns the exit code."""
    from pool_environment import PoolEnvironment

    loss = DCGAN.generator_loss

    def signal_and_loss(model, *arguments):
        if rank == told and model.batches_seen == batch:
            os.kill(os.getpid(), number)
        return loss(model, *arguments)

    DCGAN.generator_loss = signal_and_loss
    module = PoolEnvironment.__module__
    plugins = ["--trust", module, f"--trainer.plugins=[{{'class_path': '{module}.PoolEnvironment'}}]"] if world_size > 1 else []
    try:
        with pytest.raises(SystemExit) as caught:
            main(["fit", *argv, f"--trainer.devices={world_size}", "--trainer.accelerator=cpu", *plugins])
    finally:
        DCGAN.generator_loss = loss
    return caught.value.code


@pytest.mark.parametrize(
    ("number", "batch", "world_size", "told"),
    [
        (signal.SIGTERM, 2, 1, 0),
        (signal.SIGUSR1, 4, 1, 0),
        (signal.SIGINT, 4, 1, 0),
        (signal.SIGTERM, 6, 1, 0),
        (signal.SIGTERM, 4, 2, 0),
        (signal.SIGUSR1, 4, 2, 1),
    ],
    ids=lambda value: value.name if isinstance(value, signal.Signals) else str(value),
)
def test_a_signal_between_two_updates_saves_after_the_step_and_stops_all_ranks(number, batch, world_size, told, whole, pool, tmp_path):
    argv = [*DCGAN_RUN, *QUIET, *SILENT, f"--runs={tmp_path}", f"--budget.images={TOTAL}"]
    assert pool(signalled_fit, argv, number, batch, told, world_size=world_size) == [75] * world_size
    folder = only_run(tmp_path)
    assert checkpoint(folder)[CHECKPOINT_KEY]["batches_seen"] == batch
    resume_and_compare(pool, folder, whole("dcgan", world_size), world_size)


def handlers_around_fit(rank, world_size, argv):
    """The handlers before and after a training."""
    numbers = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)
    before = [str(signal.getsignal(number)) for number in numbers]
    fit_command(rank, world_size, argv)
    return before, [str(signal.getsignal(number)) for number in numbers]


def test_signals_mean_after_training_what_they_meant_before(pool, tmp_path):
    """Else the final evaluation could not be stopped."""
    ((before, after),) = pool(handlers_around_fit, [*VAE_RUN, *QUIET, *SILENT, f"--runs={tmp_path}", "--budget.images=250"])
    assert after == before


# The real command.


def start(runs, *options):
    command = [sys.executable, "-m", "lightning_gen", "fit", *DCGAN_RUN, *QUIET, *SILENT, "--trainer.accelerator=cpu", f"--runs={runs}"]
    environment = os.environ | {"GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}
    command += ["--checkpoints.every_images=500", "--budget.images=100000000", *options]
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)


def wait_for_checkpoint(process, runs, seconds=120):
    end = time.monotonic() + seconds
    while not [*pathlib.Path(runs).glob("*/*/checkpoints/last.ckpt")]:
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < end
        time.sleep(0.05)


def stop_and_compare(pool, runs, number, world_size, *options):
    process = start(runs, *options)
    try:
        wait_for_checkpoint(process, runs)
        process.send_signal(number)
        _, error = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 75, error
    folder = only_run(runs)
    assert f"continue with: lightning-gen fit --resume {folder}" in error
    batches = checkpoint(folder)[CHECKPOINT_KEY]["batches_seen"]
    total = (batches + 2) * BATCH
    pool(fit_command, ["--resume", str(folder), f"--budget.images={total}"], world_size=world_size)
    other = runs.parent / "uninterrupted"
    pool(fit_command, [*DCGAN_RUN, *QUIET, *SILENT, f"--runs={other}", f"--budget.images={total}"], world_size=world_size)
    assert different(checkpoint(folder), checkpoint(only_run(other))) == []


def test_the_command_exits_with_75_on_sigterm_and_is_continued(pool, tmp_path):
    stop_and_compare(pool, tmp_path / "runs", signal.SIGTERM, 1)


@pytest.mark.slow(reason="launches two processes that import Lightning: about 30 s")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1], ids=["SIGTERM", "SIGUSR1"])
def test_a_signal_to_the_parent_alone_stops_both_processes(number, pool, tmp_path):
    stop_and_compare(pool, tmp_path / "runs", number, 2, "--trainer.devices=2")
