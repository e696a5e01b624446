"""The command line: ``lightning-gen COMMAND ...``. A command's module, and all that it needs, is imported when it is chosen."""

from __future__ import annotations

import errno
import importlib
import os
import select
import sys
from collections.abc import Sequence

from lightning_gen import __version__
from lightning_gen.errors import UserError, did_you_mean
from lightning_gen.leaderboard.text import printable

COMMANDS = {
    "fit": "train the model that a YAML file describes; resume a run",
    "sweep": "train every combination of some values and seeds, several at a time",
    "evaluate": "score a checkpoint and write its result record",
    "verify": "evaluate the checkpoint of a result again and say whether its scores hold",
    "score": "score anybody's images, or what a generator draws, against real ones",
    "reference": "compute, list, import and export statistics of real images",
    "sample": "draw images from a checkpoint",
    "export": "write a run's weights as safetensors, for other programs",
    "fit_latents": "fit a density to the codes of an autoencoder, so that it can be sampled",
    "explore": "picture and measure the latent space of a checkpoint",
    "probe": "find out what simple classifiers read off a model's codes",
    "finetune": "train a classifier from a model's encoder and from scratch",
    "anomaly": "tell images of a model's own data from others",
    "disentangle": "measure whether each latent dimension follows one known factor",
    "debug": "replay the step on which a run met NaN or infinity, in float64",
    "leaderboard": "rank all result records, per protocol",
    "list": "show the models, configurations, data sets and extractors by name",
    "doctor": "show what this installation has: versions, devices, weights, W&B, disk",
    "demo": "train, score and rank a small model without any download",
}

DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM)
"""What a user can repair, and nobody else: a full disk, a folder that cannot be written to."""


def main(argv: Sequence[str] | None = None) -> None:
    """The console entry point: runs the command in ``argv`` (``sys.argv`` by default) and raises SystemExit with its code."""
    for stream in (sys.stdout, sys.stderr):
        # A name that the terminal's encoding lacks is no reason to crash.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    raise SystemExit(_guarded([*(sys.argv[1:] if argv is None else argv)]))


def _guarded(argv: list[str]) -> int:
    """The exit code; what a user can act on becomes one line, a bug stays a traceback."""
    try:
        code = _dispatch(argv)
        print(end="", flush=True)  # not sys.stdout.flush: a command may be started without any stdout
    except UserError as error:
        return _complain(f"error: {error}", error.exit_code)
    except KeyboardInterrupt:
        return _complain("interrupted", 130)
    except BrokenPipeError:
        if not _nobody_reads_stdout():
            raise
        # What is still buffered would fail once more when the interpreter exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        if error.errno not in DISK:
            raise
        return _complain(f"error: {error.filename or 'a file'} cannot be written or read ({error.strerror})", 2)
    return code


def _dispatch(argv: list[str]) -> int:
    command, *rest = argv or ["--help"]
    if command in ("--help", "-h"):
        print(help_text())
    elif command == "--version":
        print(f"lightning-gen {__version__}")
    elif command in COMMANDS:
        return importlib.import_module(f"lightning_gen.cli.{command}").run(rest)
    else:
        kind = "option" if command.startswith("-") else "command"
        options = ["--help", "--version"] if kind == "option" else COMMANDS
        return _complain(f"unknown {kind} {command!r}; {did_you_mean(command, options)}", 2)
    return 0


def help_text() -> str:
    """The commands, one line each."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {description}" for name, description in COMMANDS.items()]
    return "\n".join(
        [
            "usage: lightning-gen COMMAND [OPTION ...]",
            "",
            "Train, score and rank deep generative models of images.",
            "",
            *lines,
            "",
            "lightning-gen COMMAND --help shows a command's options; --version shows the version.",
        ]
    )


def _complain(message: str, code: int) -> int:
    print(f"lightning-gen: {printable(message)}", file=sys.stderr)
    return code


def _nobody_reads_stdout() -> bool:
    """Whether it is our own output that broke, as in ``lightning-gen list | head -1``, and not some worker's pipe."""
    try:
        poll = select.poll()
        poll.register(sys.stdout, 0)
    except (AttributeError, OSError, ValueError):
        return False
    return bool(poll.poll(0))
