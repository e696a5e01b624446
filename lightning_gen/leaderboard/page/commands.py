"""The commands that train a run again and score it again, safe to paste whatever the run is called."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from lightning_gen.leaderboard.config_diff import MISSING, Difference
from lightning_gen.leaderboard.record import ResultRecord
from lightning_gen.leaderboard.text import printable

OPTIONS = ("model.init_args.", "data.init_args.", "budget.", "ema.", "samples.", "trainer.", "seed_everything", "training_noise")

COMPARE = "lightning-gen leaderboard --compare"
"""Before two words of :func:`file_word`."""


def file_word(file: Path | None) -> str | None:
    """A file as a word of a command; None where there is none."""
    return None if file is None else shlex.quote(printable(file))


def training_commands(record: ResultRecord, folder: Path | None, differences: Sequence[Difference] | None) -> list[str]:
    """How to train the run again: from its own configuration, and from the shipped one of its name where flags can say the difference.

    Args:
        record: of the run.
        folder: of the run, where it still has a configuration.
        differences: from the shipped configuration; None where there is none, or nobody knows them.
    """
    commands = []
    if folder is not None:
        commands.append(_command("fit", "--config", str(folder / "config.yaml")))
    flags = None if differences is None else _flags(differences)
    if flags is not None:
        commands.append(_command("fit", "--config", record.config_name, *flags))
    return commands


def evaluation_command(record: ResultRecord, folder: Path | None) -> str | None:
    """How to score the checkpoint again; None where it is not known to lie within the run's folder."""
    inside = PurePosixPath(record.checkpoint.path)
    if folder is None or inside.is_absolute() or ".." in inside.parts:
        return None
    protocols = [score.protocol for score in record.scores]
    options = ["--split", str(protocols[0]["split"]), "--seed", str(record.answer.seed), "--weights", record.answer.weights]
    for name, option in (("num_samples", "--num_samples"), ("likelihood_images", "--likelihood_images")):
        values = [protocol[name] for protocol in protocols if isinstance(protocol.get(name), int)]
        options += [option, str(values[0])] if values else []
    if record.answer.likelihood_samples is not None:
        options += ["--likelihood_samples", str(record.answer.likelihood_samples)]
    return _command("evaluate", str(folder / inside), *options)


def _flags(differences: Sequence[Difference]) -> list[str] | None:
    """Command line options for every difference; None where one is within a network's arguments, or takes something away."""
    flags = []
    for key, _, value in differences:
        section = next((option for option in OPTIONS if key.startswith(option)), None)
        name = key.replace(".init_args.", ".", 1)
        if section is None or ".init_args." in name or name.endswith(".class_path") or value == MISSING:
            return None
        flags += [f"--{name}", value]
    return flags


def _command(*words: str) -> str:
    return " ".join(shlex.quote(printable(word)) for word in ("lightning-gen", *words))
