"""Every member of a sweep is read by the parser of ``fit``, and its parts are built, before the first one starts."""

from __future__ import annotations

import json
import pathlib
import re
from typing import Any

from lightning_gen import registry
from lightning_gen.cli.experiment import Experiment
from lightning_gen.cli.fit import read_options
from lightning_gen.cli.launch import refuse_settings
from lightning_gen.cli.output import quiet
from lightning_gen.cli.sweep_grid import SEED, Grid
from lightning_gen.cli.sweep_member import Member, folder_name, label
from lightning_gen.configs import BASE
from lightning_gen.errors import UserError


class ExperimentCheck(Experiment):
    """Finds out whether experiments can be built, one after the other: building the parser takes longer than reading.

    Args:
        words: the options of the first one, with every ``--config`` already a path.
    """

    def __init__(self, words: list[str]) -> None:
        self._built: set[str] = set()
        super().__init__(words, "sweep")

    def check(self, words: list[str]) -> None:
        """The same for another one."""
        self.parse_arguments(self.parser, words)
        self.instantiate_classes()

    def instantiate_classes(self) -> None:
        """Build data, model and callbacks, unless that was done for another seed."""
        content = json.dumps({**self.plain_config(), SEED: None}, default=str)
        if content not in self._built:
            super().instantiate_classes()
            self._built.add(content)

    def instantiate_trainer(self, **kwargs: Any) -> Any:
        """No trainer, which takes hold of devices: only what it would be refused for."""
        refuse_settings(self.model, self.config_init["trainer"])


def checked_members(grid: Grid, folder: pathlib.Path) -> list[Member]:
    """The members of ``grid``, each with its own folder below ``folder``.

    Raises:
        UserError: ``fit`` would refuse one of them, or two are the same training.
    """
    quiet()
    checker: ExperimentCheck | None = None
    known: dict[str, str] = {}
    members = []
    for options, values in grid.members():
        name = label(values)
        try:
            own, rest, _ = read_options(options)
            for module in own.trust:
                registry.trust(module)
            words = ["--config", str(BASE), *rest]
            if checker is None:
                checker = ExperimentCheck(words)
            else:
                checker.check(words)
        except UserError as error:
            raise UserError(f"{grid.path}: {error} (member {name})") from error
        except SystemExit as end:  # --help, --print_config
            raise UserError(f"{grid.path}: member {name}: expected options of a training, got one that prints something and ends") from end
        except Exception as error:  # of somebody's own class, which its member would report likewise
            raise UserError(f"{grid.path}: member {name} cannot be built: {_first(error)}") from error
        content = json.dumps(checker.plain_config(), sort_keys=True, default=str) + str(own.init_from)
        if content in known:
            raise UserError(f"{grid.path}: members {known[content]} and {name} are the same training; expected different ones")
        known[content] = name
        members.append(Member(tuple(options), values, _own_folder(folder, folder_name(options, values))))
    return members


def _first(error: Exception) -> str:
    """The first line of an error; of the parser's, which puts its own words around what a constructor raises, that of the cause."""
    found = re.search(r"^Errors:\n *- (.*)", str(error), re.MULTILINE)
    return (found[1] if found else str(error).partition("\n")[0]) or type(error).__name__


def _own_folder(folder: pathlib.Path, name: str) -> pathlib.Path:
    """A member's folder, under the name that it got when the grid had other values: the hash at the end tells what is trained."""
    digest = name.rpartition("-")[2]
    found = [path for path in (folder / digest, *sorted(folder.glob(f"*-{digest}"))) if path.is_dir()]
    return found[0] if found else folder / name
