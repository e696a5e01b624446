"""Runs the members of a sweep as processes; whatever ends them, what was finished stays finished and nothing runs on."""

from __future__ import annotations

import contextlib
import os
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import IO, Literal, Protocol

from lightning_gen.cli.sweep_member import Member, Outcome
from lightning_gen.cli.sweep_places import Place, keep_to
from lightning_gen.errors import Preempted, UserError
from lightning_gen.leaderboard.text import printable

LAUNCHER = (sys.executable, "-m", "lightning_gen.cli.sweep_process")
"""What runs the command of a member."""

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
"""What tells a sweep to stop."""

POLL_SECONDS = 0.2

STOP_SECONDS = 120.0
"""How long a member may take to save itself."""

TAIL_BYTES = 8192
"""The end of a log in which the last words are looked for."""

Status = Literal["waiting", "elsewhere", "running", "finished", "failed", "stopped"]


@dataclass
class Row:
    """How far a member is.

    Args:
        status: ``elsewhere`` while another sweep, or a process that a killed one left behind, has it.
        text: its last words while it runs and where it failed; its score where it finished.
        seconds: how long it has run, earlier sessions included.
    """

    member: Member
    status: Status = "waiting"
    text: str = ""
    seconds: float = 0.0


class Display(Protocol):
    """Shows a sweep while it runs."""

    def changed(self, rows: Sequence[Row], row: Row) -> None:
        """A member has another status."""

    def show(self, rows: Sequence[Row]) -> None:
        """Time has passed."""


@dataclass
class Session:
    """A member's process.

    Args:
        lock: the member's lock, held until its end has been written down.
        offset: where this session's part of the log starts, in bytes.
        started: on the monotonic clock, less the seconds of earlier sessions.
    """

    row: Row
    process: subprocess.Popen[bytes]
    place: Place
    lock: IO[bytes]
    offset: int
    started: float


class Runner:
    """Runs every member that is not finished, as many at a time as there are places.

    Args:
        members: in the order in which they start.
        places: where they run.
        display: shows how far they are.
        launcher: what runs the command of a member.
    """

    def __init__(self, members: Sequence[Member], places: Sequence[Place], display: Display, launcher: Sequence[str] = LAUNCHER) -> None:
        self.rows = [Row(member) for member in members]
        self.display = display
        self._launcher = launcher
        self._free = list(places)
        self._sessions: list[Session] = []
        self._told = 0
        self._stopping = False

    def run(self) -> None:
        """Return when every member has finished or failed, or when a signal told the sweep to stop and its members have stopped."""
        with self._signals():
            try:
                self._note_finished()
                while not self._told and any(row.status in ("waiting", "elsewhere", "running") for row in self.rows):
                    self._start_members()
                    time.sleep(POLL_SECONDS)
                    self._collect()
            finally:
                self._stop()

    def count(self, status: Status) -> int:
        """How many members have a status."""
        return sum(row.status == status for row in self.rows)

    def _note_finished(self) -> None:
        for row in self.rows:
            self._finished_before(row)

    def _finished_before(self, row: Row) -> bool:
        state = row.member.state()
        row.seconds = state.seconds if state else 0.0
        if state and state.outcome == "finished":
            self._turn(row, "finished", row.member.headline())
            return True
        return False

    def _turn(self, row: Row, status: Status, text: str = "") -> None:
        changed = row.status != status
        row.status, row.text = status, text
        if changed:
            self.display.changed(self.rows, row)

    def _start_members(self) -> None:
        for row in self.rows:
            if not self._free:
                return
            if row.status not in ("waiting", "elsewhere"):
                continue
            lock = row.member.take()
            if lock is None:
                self._turn(row, "elsewhere", "another process has it")
            elif self._finished_before(row):
                lock.close()
            else:
                self._start(row, lock)

    def _start(self, row: Row, lock: IO[bytes]) -> None:
        place = self._free.pop(0)
        command = row.member.command()
        offset = row.member.note(command)
        with row.member.log.open("ab") as log:
            # In a session of its own: the terminal's Ctrl-C is for the sweep, which tells its members.
            process = subprocess.Popen(
                [*self._launcher, *command],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={"WANDB_RUN_GROUP": row.member.folder.parent.name} | os.environ | place.environment,
                start_new_session=True,
                pass_fds=[lock.fileno()],
            )
        self._sessions.append(Session(row, process, place, lock, offset, time.monotonic() - row.seconds))
        with contextlib.suppress(ProcessLookupError):
            keep_to(process.pid, place.cores)
        self._turn(row, "running")

    def _collect(self) -> None:
        """Look after the processes, and free what those that ended had."""
        for session in [*self._sessions]:
            session.row.seconds = time.monotonic() - session.started
            code = session.process.poll()
            if code is None:
                session.row.text = last_words(session.row.member.log, session.offset)
            else:
                self._end(session, code)
        self.display.show(self.rows)

    def _end(self, session: Session, code: int) -> None:
        self._sessions.remove(session)
        self._free.append(session.place)
        session.process.communicate()  # closes its input, which tells processes that it has left behind
        row = session.row
        stopped = self._stopping or code == Preempted.exit_code
        outcome: Outcome = "finished" if code == 0 else "stopped" if stopped else "failed"
        error = complaint(row.member.log, session.offset, code) if outcome == "failed" else ""
        try:
            row.member.keep(outcome, row.seconds, error)
        except UserError as problem:  # a full disk: the other members have to be looked after all the same
            outcome, error = "stopped" if stopped else "failed", str(problem)
        self._turn(row, outcome, row.member.headline() if outcome == "finished" else error)
        session.lock.close()

    def _stop(self) -> None:
        """Tell the members that still run to save themselves, and wait for them; a second signal kills them."""
        self._stopping = True
        for session in self._sessions:
            session.process.terminate()
        end = time.monotonic() + STOP_SECONDS
        while self._sessions and self._told < 2 and time.monotonic() < end:
            time.sleep(POLL_SECONDS)
            self._collect()
        for session in self._sessions:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(session.process.pid, signal.SIGKILL)
            session.process.wait()
        self._collect()

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """Count the signals that tell the sweep to stop: it has to write down first what has ended."""
        # What nohup has ignored stays ignored.
        heard = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
        before = {number: signal.signal(number, self._note) for number in heard}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._told += 1


def last_words(log: pathlib.Path, offset: int) -> str:
    """The last line of a log after ``offset`` bytes."""
    lines = _tail(log, offset)
    return lines[-1] if lines else ""


def complaint(log: pathlib.Path, offset: int, code: int) -> str:
    """Why a process failed: the line with which our commands end, or what killed it, or its last words."""
    lines = _tail(log, offset)
    ours = [line for line in lines if line.startswith("lightning-gen")]
    if ours:
        return ours[-1].partition(": ")[2].removeprefix("error: ")
    words = [f"killed by {signal.Signals(-code).name}"] if code < 0 else []
    words += lines[-1:]
    return "; ".join(words) or f"exit code {code}"


def _tail(log: pathlib.Path, offset: int) -> list[str]:
    try:
        with log.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(offset, size - TAIL_BYTES))
            text = file.read().decode(errors="replace")
    except FileNotFoundError:  # somebody has removed the folder of a member that runs
        return []
    return [line for line in map(printable, text.splitlines()) if line.strip()]
