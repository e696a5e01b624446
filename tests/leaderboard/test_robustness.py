"""Many processes write while others read; a kill loses the record in flight at most; what is no record does no harm and is named."""

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lightning_gen.errors import UserError
from lightning_gen.leaderboard import record
from lightning_gen.leaderboard.formats import as_csv
from lightning_gen.leaderboard.record import LARGEST, SUFFIX, read, write
from lightning_gen.leaderboard.store import load_results
from lightning_gen.leaderboard.table import leaderboard

EXAMPLE = Path(__file__).with_name("example.result.json")

WRITER = f"""
import sys
from dataclasses import replace
from lightning_gen.leaderboard.record import read, write
record = read({str(EXAMPLE)!r})
for index in range(int(sys.argv[3])):
    write(replace(record, run_name=f"{{sys.argv[2]}} {{index}}"), sys.argv[1])
"""

KILLED = f"""
import os, signal, sys
from lightning_gen.leaderboard.record import read, write
record = read({str(EXAMPLE)!r})
write(record, sys.argv[1])
step = getattr(os, sys.argv[2])
def kill(*arguments):
    if sys.argv[3] == "after":
        step(*arguments)
    os.kill(os.getpid(), signal.SIGKILL)
setattr(os, sys.argv[2], kill)
write(record, sys.argv[1])
"""


@pytest.fixture
def start(monkeypatch):
    """Start a program that imports the package of this process."""
    monkeypatch.setenv("PYTHONPATH", str(Path(record.__file__).parents[2]))
    return lambda code, *arguments: subprocess.Popen([sys.executable, "-c", code, *map(str, arguments)])


@pytest.mark.parametrize("count", [50, pytest.param(500, marks=pytest.mark.slow)])
def test_two_processes_write_while_a_third_renders(start, tmp_path, count):
    """Every look sees whole records only, never fewer than the look before, and at the end all of them."""
    writers = [start(WRITER, tmp_path, name, count) for name in ("a", "b")]
    seen = looks = 0
    while any(writer.poll() is None for writer in writers):
        records, skipped = load_results([tmp_path])
        assert not skipped
        assert len(records) >= seen
        seen, looks = len(records), looks + 1
        assert as_csv(leaderboard(records)).count("\n") >= len({record.run_name for record in records})
    assert [writer.returncode for writer in writers] == [0, 0]
    records, skipped = load_results([tmp_path])
    assert not skipped
    assert {record.run_name for record in records} == {f"{name} {index}" for name in "ab" for index in range(count)}
    assert looks > 1


@pytest.mark.parametrize(("step", "moment", "left"), [("fsync", "before", 1), ("replace", "before", 1), ("replace", "after", 2)])
def test_a_kill_while_a_record_is_written_loses_that_one_at_most(start, tmp_path, step, moment, left):
    assert start(KILLED, tmp_path, step, moment).wait(timeout=60) == -signal.SIGKILL
    records, skipped = load_results([tmp_path])
    assert (len(records), skipped) == (left, [])
    write(read(EXAMPLE), tmp_path)
    assert len(load_results([tmp_path])[0]) == left + 1


@pytest.mark.parametrize("content", ["zeros", "a record"])
def test_a_hundred_megabytes_are_named_and_not_loaded(tmp_path, content):
    path = tmp_path / f"huge{SUFFIX}"
    with path.open("wb") as file:
        if content == "a record":
            file.write(EXAMPLE.read_bytes()[:-2] + b" " * 10)
        file.truncate(100 * 2**20)
    write(read(EXAMPLE), tmp_path)
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    records, skipped = load_results([tmp_path])
    assert len(records) == 1
    assert skipped == [(path, "larger than 16 MiB, which no result record is")]
    assert time.monotonic() - start < 5
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 3 * LARGEST / 1024


def test_a_device_without_an_end_is_refused():
    with pytest.raises(UserError, match="/dev/zero: larger than 16 MiB"):
        read("/dev/zero")


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", "../../etc", "a\nb", "[red]x[/red]", "=1+1", "\ud800", "x" * 10_000])
def test_any_name_of_a_run_is_shown_on_a_line_of_its_own(make, tmp_path, name):
    write(make(name, fd=1.0), tmp_path)
    (found,), skipped = load_results([tmp_path])
    assert (found.run_name, skipped) == (name, [])
    assert as_csv(leaderboard([found])).count("\n") == 2
    assert sorted(path.parent for path in tmp_path.rglob("*")) == [tmp_path], "a name leads nowhere else"


def test_a_file_that_vanishes_or_is_closed_to_us_is_named(tmp_path, monkeypatch):
    path = write(read(EXAMPLE), tmp_path)
    opened = open

    def forbidden(file, *arguments, **options):
        if file == path:
            raise PermissionError(13, os.strerror(13))
        return opened(file, *arguments, **options)

    monkeypatch.setattr("builtins.open", forbidden)
    assert load_results([tmp_path]) == ([], [(path, "cannot be read (Permission denied)")])
