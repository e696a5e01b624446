"""A sweep's members finish once, whatever is killed and whoever else is at work; nothing outlives it. Real processes, a fake ``fit``."""

import contextlib
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import time
import zipfile

import pytest
from fake_sweep import Lines, hear_signals, members

from lightning_gen.cli.sweep_member import Member, folder_name
from lightning_gen.cli.sweep_places import Place
from lightning_gen.cli.sweep_runner import Runner, complaint, last_words
from lightning_gen.errors import UserError

SCRIPT = str(pathlib.Path(__file__).with_name("fake_sweep.py"))
PATIENCE = 60.0


STARTED = []
"""Sweeps of the running test."""


@pytest.fixture(autouse=True)
def leave_no_sweep():
    yield
    while STARTED:
        STARTED.pop().kill()


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(pathlib.Path(__file__).parents[2]))
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)


def start(folder, *options, jobs=2, before=()):
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    command = [*before, sys.executable, SCRIPT, str(folder), str(jobs), *options]
    process = subprocess.Popen(command, text=True, start_new_session=True, preexec_fn=hear_signals, **pipes)
    STARTED.append(process)
    return process


def sweep(folder, *options, jobs=2):
    """(exit code, stdout, stderr) of a sweep that is left alone."""
    process = start(folder, *options, jobs=jobs)
    out, err = process.communicate(timeout=PATIENCE)
    return process.returncode, out, err


def wait_until(condition):
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def runs(member):
    """The runs in a member's folder."""
    return sorted(member.folder.glob("fake/*"))


def sessions(member):
    """The processes that worked on a member, in all its runs."""
    return [int(line) for run in runs(member) for line in (run / "sessions").read_text().split()]


def steps(member):
    """The steps that were done for a member, in all its runs."""
    return [int(line) for run in runs(member) if (run / "steps").exists() for line in (run / "steps").read_text().split()]


def outcomes(found):
    return [state.outcome if (state := member.state()) else None for member in found]


def nobody_works_on(member):
    """Whether no process of any sweep has the member."""
    lock = member.take()
    if lock is not None:
        lock.close()
    return lock is not None


def test_a_failed_member_stops_no_other_and_is_named_with_its_log(tmp_path):
    options = ["steps=3", "fail=the data is not there", "steps=2"]
    code, _, err = sweep(tmp_path, *options)
    found = members(tmp_path, options)
    assert code == 1
    assert outcomes(found) == ["finished", "failed", "finished"]
    assert found[1].state().error == "the data is not there"
    assert "the data is not there" in found[1].log.read_text()
    assert f"failed: {found[1].label}: the data is not there (log: {found[1].log})" in err
    assert "1 of 3 members failed; try them again with: this command again" in err


def test_members_that_finished_are_not_run_again_and_those_that_failed_are(tmp_path):
    options = ["steps=3", "fail=no"]
    assert sweep(tmp_path, *options)[0] == 1
    assert sweep(tmp_path, *options)[0] == 1
    found = members(tmp_path, options)
    assert [len(sessions(member)) for member in found] == [1, 2]
    assert steps(found[0]) == [1, 2, 3]


@pytest.mark.parametrize("jobs", [1, 2])
def test_no_more_members_run_at_a_time_than_there_are_places(tmp_path, jobs):
    _, out, _ = sweep(tmp_path, *["steps=3"] * 4, jobs=jobs)
    running = most = 0
    for change in (line.split(" ", 1)[0] for line in out.splitlines()):
        running += {"running": 1, "finished": -1}.get(change, 0)
        most = max(most, running)
    assert most == jobs


def test_a_member_runs_on_its_places_share_of_the_machine_and_in_its_sweeps_wandb_group(tmp_path, monkeypatch):
    monkeypatch.delenv("WANDB_RUN_GROUP", raising=False)
    core = min(os.sched_getaffinity(0))
    place = Place({"CUDA_VISIBLE_DEVICES": "3,5", "OMP_NUM_THREADS": "2"}, frozenset({core}))
    found = members(tmp_path, ["steps=1"])
    Runner(found, [place], Lines(), (sys.executable, str(pathlib.Path(SCRIPT).with_name("fake_fit.py")))).run()
    config = json.loads((runs(found[0])[0] / "config.json").read_text())
    assert config["environment"] == place.environment | {"WANDB_RUN_GROUP": found[0].folder.parent.name}
    assert config["cores"] == [core]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_saves_the_members_leaves_no_process_and_says_how_to_go_on(tmp_path, number):
    options = ["steps=2", "steps=1000", "steps=1000", "steps=3"]
    found = members(tmp_path, options)
    process = start(tmp_path, *options)
    wait_until(lambda: len(steps(found[1])) > 3 and len(steps(found[2])) > 3)
    os.killpg(process.pid, number)  # as a terminal does
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 75
    assert "1 of 4 members have finished, continue with: this command again" in err
    assert outcomes(found) == ["finished", "stopped", "stopped", None]
    assert all(nobody_works_on(member) for member in found)
    for member in found[1:3]:
        assert (runs(member)[0] / "checkpoints" / "last.ckpt").is_file()
    for session in [*sessions(found[1]), *sessions(found[2])]:
        with pytest.raises(ProcessLookupError):
            os.kill(session, 0)


def test_a_hangup_that_nohup_ignores_is_ignored(tmp_path):
    options = ["steps=20"]
    (member,) = members(tmp_path, options)
    process = start(tmp_path, *options, before=["nohup"])
    wait_until(lambda: len(steps(member)) > 3)
    process.send_signal(signal.SIGHUP)
    process.communicate(timeout=PATIENCE)
    assert process.returncode == 0


def test_a_member_that_was_stopped_continues_from_its_checkpoint(tmp_path):
    options = ["steps=60"]
    (member,) = members(tmp_path, options)
    process = start(tmp_path, *options)
    wait_until(lambda: len(steps(member)) > 3)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=PATIENCE)
    assert sweep(tmp_path, *options)[0] == 0
    assert len(sessions(member)) == 2
    assert steps(member) == [*range(1, 61)]
    assert f"fit --resume {runs(member)[0]}" in member.log.read_text()


def test_a_member_without_a_whole_checkpoint_starts_anew(tmp_path):
    options = ["steps=60,save=false"]
    (member,) = members(tmp_path, options)
    process = start(tmp_path, *options)
    wait_until(lambda: len(steps(member)) > 3)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=PATIENCE)
    (runs(member)[0] / "checkpoints" / "last.ckpt").write_bytes(b"PK\x03\x04 cut short")
    assert sweep(tmp_path, *options)[0] == 0
    assert len(runs(member)) == 2
    assert (runs(member)[1] / "steps").read_text().split() == [str(step) for step in range(1, 61)]


def test_a_second_signal_kills_members_that_do_not_hear_the_first(tmp_path):
    options = ["steps=1500,deaf=true"]
    (member,) = members(tmp_path, options)
    process = start(tmp_path, *options)
    wait_until(lambda: len(steps(member)) > 3)
    process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=PATIENCE)
    assert process.returncode == 75
    assert nobody_works_on(member)
    assert outcomes([member]) == ["stopped"]


def test_members_of_a_killed_sweep_save_themselves_and_end(tmp_path):
    options = ["steps=1500"]
    (member,) = members(tmp_path, options)
    process = start(tmp_path, *options)
    wait_until(lambda: len(steps(member)) > 3)
    process.kill()
    process.communicate(timeout=PATIENCE)
    wait_until(lambda: nobody_works_on(member))
    assert (runs(member)[0] / "checkpoints" / "last.ckpt").is_file()


def test_a_sweep_that_is_killed_at_any_time_loses_nothing_and_repeats_nothing(tmp_path):
    counts = (5, 20, 30, 8)
    options = [f"steps={count}" for count in counts]
    found = members(tmp_path, options)
    generator = random.Random(0)
    for _ in range(5):
        process = start(tmp_path, *options)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=0.5 + generator.random())
        process.kill()
        process.communicate()
    assert sweep(tmp_path, *options)[0] == 0
    assert outcomes(found) == ["finished"] * 4
    # They saved themselves when the sweep was gone, and nobody began while they did.
    assert [steps(member) for member in found] == [[*range(1, count + 1)] for count in counts]


def test_when_the_members_are_killed_too_only_their_own_steps_are_lost(tmp_path):
    options = ["steps=3", "steps=40"]
    found = members(tmp_path, options)
    process = start(tmp_path, *options)
    wait_until(lambda: found[0].state() and len(steps(found[1])) > 5)
    process.kill()
    os.kill(sessions(found[1])[0], signal.SIGKILL)
    process.communicate(timeout=PATIENCE)
    assert sweep(tmp_path, *options)[0] == 0
    assert len(sessions(found[0])) == 1
    assert len(sessions(found[1])) == 2
    assert steps(found[1])[-40:] == [*range(1, 41)]


def test_a_member_that_is_killed_alone_is_a_failure_that_says_so(tmp_path):
    options = ["steps=1500", "steps=2"]
    found = members(tmp_path, options)
    process = start(tmp_path, *options)
    wait_until(lambda: len(steps(found[0])) > 3)
    os.kill(sessions(found[0])[0], signal.SIGKILL)
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert outcomes(found) == ["failed", "finished"]
    assert "killed by SIGKILL" in err


def test_a_state_that_cannot_be_written_is_its_members_failure_and_stops_no_other(tmp_path):
    options = ["steps=20", "steps=60"]
    found = members(tmp_path, options)
    process = start(tmp_path, *options)
    wait_until(lambda: len(steps(found[0])) > 3)
    (found[0].folder / "member.json").mkdir()  # as a full disk does
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert f"{found[0].folder / 'member.json'}: cannot be written" in err
    assert found[1].state().outcome == "finished"
    assert steps(found[1]) == [*range(1, 61)]


def test_a_log_that_cannot_be_written_is_named(tmp_path):
    (member,) = members(tmp_path, ["steps=1"])
    member.log.mkdir(parents=True)
    with pytest.raises(UserError, match=r"log\.txt: cannot be written \(Is a directory\)"):
        member.note(["fit"])


def test_a_member_whose_folder_is_removed_while_it_runs_stops_no_other(tmp_path):
    options = ["steps=1500", "steps=60"]
    found = members(tmp_path, options)
    process = start(tmp_path, *options)
    wait_until(lambda: len(steps(found[0])) > 3)
    while found[0].folder.exists():  # it makes files meanwhile
        shutil.rmtree(found[0].folder, ignore_errors=True)
    process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert outcomes(found) == ["failed", "finished"]


def test_two_sweeps_of_one_folder_share_the_work(tmp_path):
    options = ["steps=20"] * 4
    processes = [start(tmp_path, *options) for _ in range(2)]
    for process in processes:
        process.communicate(timeout=PATIENCE)
    assert [process.returncode for process in processes] == [0, 0]
    assert [steps(member) for member in members(tmp_path, options)] == [[*range(1, 21)]] * 4


def test_a_state_that_cannot_be_read_is_named(tmp_path):
    (member,) = members(tmp_path, ["steps=1"])
    member.folder.mkdir(parents=True)
    (member.folder / "member.json").write_text('{"outcome": "fini')
    with pytest.raises(UserError, match=r"member\.json: cannot be read .*; remove it to run this member again"):
        member.state()


def test_a_killed_write_of_a_state_leaves_the_one_before(tmp_path, monkeypatch):
    (member,) = members(tmp_path, ["steps=1"])
    member.keep("stopped", 1.5)
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        member.keep("finished", 2.0)
    assert member.state().outcome == "stopped"


def test_the_newest_whole_run_is_continued_with_the_trusted_modules(tmp_path):
    member = Member(("--trust=mine.py", "--steps=3"), {}, tmp_path / "x")
    assert member.command() == ["fit", "--runs", str(member.folder), "--trust=mine.py", "--steps=3"]
    for name in ("20260101-000000-aaaaaa", "20260102-000000-bbbbbb"):
        run = member.folder / "vae_digits" / name
        (run / "checkpoints").mkdir(parents=True)
        with zipfile.ZipFile(run / "checkpoints" / "last.ckpt", "w") as file:
            file.writestr("a", "b")
    assert member.command() == ["fit", "--resume", str(run), "--trust", "mine.py"]


def test_a_member_of_an_edited_configuration_is_another_one(tmp_path):
    config = tmp_path / "mine.yaml"
    config.write_text("budget: {images: 1}\n")
    names = [folder_name([f"--config={config}"], {"config": str(config)})]
    config.write_text("# a comment\nbudget: {images: 1}\n")
    names.append(folder_name([f"--config={config}"], {"config": str(config)}))
    config.write_text("budget: {images: 2}\n")
    names.append(folder_name([f"--config={config}"], {"config": str(config)}))
    assert names[0] == names[1] != names[2]
    assert all("/" not in name for name in names)


@pytest.mark.parametrize(
    ("content", "code", "words"),
    [
        ("noise\nlightning-gen: error: budget.images: no\nlater\n", 2, "budget.images: no"),
        ("Traceback\nRuntimeError: out of memory\n", 1, "RuntimeError: out of memory"),
        ("3 steps\n", -9, "killed by SIGKILL; 3 steps"),
        ("", 4, "exit code 4"),
        ("a \x1b[2Jbar\r\n", 1, "a [2Jbar"),
    ],
)
def test_why_a_member_failed_is_one_line(tmp_path, content, code, words):
    log = tmp_path / "log.txt"
    before = b"lightning-gen: error: of another session\n"
    log.write_bytes(before + content.encode())
    assert complaint(log, len(before), code) == words


def test_the_last_words_of_a_long_log_are_found(tmp_path):
    log = tmp_path / "log.txt"
    log.write_text("line\n" * 10_000 + "the last\n\n")
    assert last_words(log, 0) == "the last"
