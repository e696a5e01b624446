"""Every member of a sweep is read by the parser of ``fit`` before the first one starts."""

from __future__ import annotations

import json
import pathlib

from lightning_gen import registry
from lightning_gen.cli.experiment import Experiment
from lightning_gen.cli.fit import read_options
from lightning_gen.cli.output import quiet
from lightning_gen.cli.sweep_grid import Grid
from lightning_gen.cli.sweep_member import Member, folder_name, label
from lightning_gen.configs import BASE
from lightning_gen.errors import UserError


class ExperimentReader(Experiment):
    """An experiment that is only read: nothing is built from it."""

    def instantiate_classes(self) -> None:
        """Nothing: what a constructor refuses is its member's own failure."""


def checked_members(grid: Grid, folder: pathlib.Path) -> list[Member]:
    """The members of ``grid``, each with its own folder below ``folder``.

    Raises:
        UserError: ``fit`` would refuse one of them, or two are the same training.
    """
    quiet()
    reader: ExperimentReader | None = None
    known: dict[str, str] = {}
    members = []
    for options, values in grid.members():
        name = label(values)
        try:
            own, rest, _ = read_options(options)
            for module in own.trust:
                registry.trust(module)
            words = ["--config", str(BASE), *rest]
            if reader is None:  # building the parser takes longer than reading
                reader = ExperimentReader(words, "sweep")
            else:
                reader.parse_arguments(reader.parser, words)
        except UserError as error:
            raise UserError(f"{grid.path}: {error} (member {name})") from error
        content = json.dumps(reader.plain_config(), sort_keys=True, default=str) + str(own.init_from)
        if content in known:
            raise UserError(f"{grid.path}: members {known[content]} and {name} are the same training; expected different ones")
        known[content] = name
        members.append(Member(tuple(options), values, folder / folder_name(options, values)))
    return members
