"""A member of a sweep: which training it is, what its folder holds, and how far it has come."""

from __future__ import annotations

import fcntl
import hashlib
import json
import pathlib
import re
import shlex
import zipfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import IO, Literal

from lightning_gen.cli import config_files
from lightning_gen.cli.fit import read_options
from lightning_gen.errors import UserError
from lightning_gen.files import complete
from lightning_gen.leaderboard.store import load_results
from lightning_gen.leaderboard.text import number

Outcome = Literal["finished", "failed", "stopped"]

LONGEST_NAME = 80
"""Characters of a folder's name that tell its values; all of them are in the file."""


@dataclass(frozen=True)
class State:
    """What is known of a member that has run.

    Args:
        outcome: how its last session ended.
        seconds: how long all its sessions took.
        error: its last words where it failed.
        options: its options of ``fit``.
    """

    outcome: Outcome
    seconds: float
    error: str = ""
    options: tuple[str, ...] = ()


@dataclass(frozen=True)
class Member:
    """One training.

    Args:
        options: of ``fit``.
        values: the options, with their values, by which it differs from other members.
        folder: its own, for its runs, log and state.
    """

    options: tuple[str, ...]
    values: dict[str, str]
    folder: pathlib.Path

    @property
    def label(self) -> str:
        """What to call it."""
        return label(self.values)

    @property
    def log(self) -> pathlib.Path:
        """What it printed in all its sessions."""
        return self.folder / "log.txt"

    def command(self) -> list[str]:
        """What to give to ``lightning-gen``: the options, or the run that was cut off."""
        run = self.run()
        if run is None:
            return ["fit", "--runs", str(self.folder), *self.options]
        trust = [word for module in read_options([*self.options])[0].trust for word in ("--trust", module)]
        return ["fit", "--resume", str(run), *trust]

    def note(self, command: Sequence[str]) -> int:
        """Begin a session's part of the log with its command; returns where its output will start, in bytes."""
        try:
            with self.log.open("ab") as log:
                log.write(f"$ lightning-gen {shlex.join(command)}\n".encode())
                return log.tell()
        except OSError as error:
            raise UserError(f"{self.log}: cannot be written ({error.strerror})") from error

    def run(self) -> pathlib.Path | None:
        """The newest run that has a whole checkpoint, from which it can be continued."""
        checkpoints = [path for path in self.folder.glob("*/*/checkpoints/last.ckpt") if zipfile.is_zipfile(path)]
        return max((path.parent.parent for path in checkpoints), key=lambda run: run.name, default=None)

    def take(self) -> IO[bytes] | None:
        """A lock that nobody else has, until it is closed here and in every process that inherited it; None when somebody has it."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = (self.folder / ".lock").open("ab")
        except OSError as error:
            raise UserError(f"{self.folder}: cannot be written to ({error.strerror})") from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            return None
        return lock

    @property
    def _state_file(self) -> pathlib.Path:
        return self.folder / "member.json"

    def state(self) -> State | None:
        """What the last session left; None before the first."""
        try:
            return State(**json.loads(self._state_file.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError) as error:
            raise UserError(f"{self._state_file}: cannot be read ({error}); remove it to run this member again") from error

    def keep(self, outcome: Outcome, seconds: float, error: str = "") -> None:
        """Write down how a session ended."""
        with complete(self._state_file) as partial:
            partial.write_text(json.dumps(asdict(State(outcome, seconds, error, self.options)), indent=2) + "\n", encoding="utf-8")

    def headline(self) -> str:
        """The score of the best checkpoint, or of the last where there is no better; empty where nothing was scored."""
        records = [record for record in load_results([self.folder])[0] if record.checkpoint.kind in ("best", "last")]
        if not records:
            return ""
        record = max(records, key=lambda record: (record.checkpoint.kind == "best", record.time))
        values = [score.value for score in record.scores if score.name == record.headline]
        return f"{record.headline} {number(values[0])}" if values else ""


def label(values: dict[str, str]) -> str:
    """Values in words."""
    return ", ".join(f"{name}={value}" for name, value in values.items()) or "the only member"


def folder_name(options: Sequence[str], values: dict[str, str]) -> str:
    """The name of a member's folder: its values, and a hash of all that says what is trained.

    The content of configuration files is part of it, so that a member of an edited file is another one.
    """
    _, _, files = read_options([*options])
    contents = [config_files.load(file.read_text(encoding="utf-8")) for file in files]
    digest = hashlib.sha256(repr(([*options], contents)).encode()).hexdigest()[:8]
    words = "-".join(f"{name.rpartition('.')[2]}={value}" for name, value in values.items())
    return "-".join(part for part in (re.sub(r"[^\w.=-]+", "_", words)[:LONGEST_NAME], digest) if part)
