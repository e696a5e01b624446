"""Starting commands that start processes themselves: nothing may outlive a test, whatever session it went into."""

from __future__ import annotations

import contextlib
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping

ROOT = pathlib.Path(__file__).parent.parent
MARK = "LIGHTNING_GEN_TEST_LAUNCH"
"""Variable by which the descendants of a launch are known; torchrun and Ray put theirs into sessions of their own."""


def free_port() -> int:
    """A port of this machine that nothing listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def write_command(path: pathlib.Path, python: str) -> None:
    """An executable file of Python, as pip writes them for entry points."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!{sys.executable}\n{python}\n")
    path.chmod(0o755)


def install_commands(folder: pathlib.Path) -> None:
    """``lightning-gen`` of this checkout, ``torchrun`` of this interpreter, wherever the tests run."""
    write_command(folder / "lightning-gen", "from lightning_gen.cli import main\n\nif __name__ == '__main__':\n    main()")
    write_command(folder / "torchrun", "from torch.distributed.run import main\n\nmain()")


def environment(commands: pathlib.Path, more: Mapping[str, str]) -> dict[str, str]:
    """This process's variables for a launch: the commands come first, one thread, loopback, and nothing of an outer launcher."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("SLURM_") and name not in ("WORLD_SIZE", "RANK")}
    path = {"PATH": f"{commands}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    return ours | path | {"GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1", MARK: uuid.uuid4().hex} | dict(more)


@contextlib.contextmanager
def launched(command: list[str], folder: pathlib.Path, variables: Mapping[str, str]) -> Iterator[subprocess.Popen[str]]:
    """A running command with its output in one pipe; afterwards it and all its descendants are gone."""
    process = subprocess.Popen(
        command, cwd=folder, env=dict(variables), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    try:
        yield process
    finally:
        while found := descendants(variables[MARK]):  # again, until none was started in between
            for pid in found:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.02)
        process.communicate()


def descendants(mark: str) -> list[int]:
    """The processes that inherited a launch's mark, wherever they are."""
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if f"{MARK}={mark}".encode() in path.read_bytes().split(b"\0"):
                found.append(int(path.parent.name))
    return found


def run_to_the_end(command: list[str], folder: pathlib.Path, variables: Mapping[str, str], seconds: float) -> tuple[int, str]:
    """Exit code and output of a command, which is killed with all that it started if it takes longer.

    Raises:
        subprocess.TimeoutExpired: it took longer.
    """
    with launched(command, folder, variables) as process:
        output, _ = process.communicate(timeout=seconds)
        return process.returncode, output
