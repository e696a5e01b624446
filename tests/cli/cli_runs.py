"""Calling the commands in this process, and reading what they left behind."""

import json
import pathlib
from dataclasses import dataclass

import pytest

from lightning_gen.cli import main

SMOKE = ("--config", "overlays/smoke")
PERIODIC = ("evaluation", "latents", "samples", "reconstructions", "explore", "checkpoints")
QUIET = tuple(f"--{group}.every_images=0" for group in PERIODIC)
"""No work between the steps: only the last checkpoint."""


@dataclass
class Outcome:
    """What a command left behind: exit code, stdout, stderr."""

    code: int
    out: str
    err: str

    @property
    def complaint(self) -> str:
        """The line with which the command ended, which has to be one line without a traceback."""
        lines = self.err.splitlines()
        assert lines, "nothing on stderr"
        assert "Traceback" not in self.err
        assert sum(line.startswith("lightning-gen") for line in lines) == 1, self.err
        return lines[-1]

    @property
    def folder(self) -> pathlib.Path:
        """The run folder that the command named."""
        return pathlib.Path(next(line for line in self.err.splitlines() if line.startswith("run folder: ")).removeprefix("run folder: "))


def execute_with(capture, argv):
    capture.readouterr()
    with pytest.raises(SystemExit) as caught:
        main([*map(str, argv)])
    return Outcome(caught.value.code, *capture.readouterr())


def train(folder, *options):
    """Train into a folder of its own; returns the run folder."""
    with pytest.raises(SystemExit) as caught:
        main(["fit", "--runs", str(folder), *options])
    assert caught.value.code == 0
    (run,) = folder.glob("*/*")
    return run


def records(folder):
    """The result records below a folder, oldest first."""
    return [json.loads(path.read_text()) for path in sorted(pathlib.Path(folder).rglob("*.result.json"))]


def scores(record):
    """Name -> value of a record's scores."""
    return {score["name"]: score["value"] for score in record["scores"]}


def cut_in_half(path):
    """Leave the first half of a file."""
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
