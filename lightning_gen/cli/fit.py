"""``lightning-gen fit``: train what a configuration describes, then score it."""

from __future__ import annotations

import argparse
import pathlib
from typing import NoReturn

from lightning_gen import registry
from lightning_gen.configs import BASE, find_config, is_overlay
from lightning_gen.errors import UserError


def run(argv: list[str]) -> int:
    """Train, or continue a run; evaluate; print where everything is."""
    own, rest, configs = read_options(argv)
    for module in own.trust:
        registry.trust(module)
    if own.resume:
        require_run_folder("--resume", pathlib.Path(own.resume))
        if own.init_from:
            raise UserError("--init_from: a resumed run has its own weights; expected either --resume or --init_from")
    from lightning_gen.cli import training  # torch and Lightning: only once the options have been looked at

    if own.resume:
        training.resume(pathlib.Path(own.resume), rest)
    else:
        training.start(["--config", str(BASE), *rest], experiment_name(configs), own.init_from)
    return 0


def require_run_folder(option: str, folder: pathlib.Path) -> None:
    """Refuse to continue, under the name by which the user gave it, what is no run."""
    if not (folder / "config.yaml").is_file():
        raise UserError(f"{option} {folder}: not a run folder (it has no config.yaml)")


class _OwnOptions(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UserError(message.removeprefix("argument "))


def read_options(argv: list[str]) -> tuple[argparse.Namespace, list[str], list[pathlib.Path]]:
    """The options that decide how all others are read, the others with the files of their configurations, and those files."""
    own, rest = _own_options().parse_known_args(argv)
    return own, *resolve_configs(rest)


def _own_options() -> argparse.ArgumentParser:
    """The options that decide how all others are read; the parser of the experiment documents them."""
    parser = _OwnOptions(add_help=False, allow_abbrev=False)
    parser.add_argument("--resume")
    parser.add_argument("--init_from")
    parser.add_argument("--trust", action="append", default=[])
    return parser


def resolve_configs(argv: list[str]) -> tuple[list[str], list[pathlib.Path]]:
    """The command line with every short name behind ``--config`` replaced by its file, and those files."""
    resolved: list[str] = []
    configs: list[pathlib.Path] = []
    arguments = iter(argv)
    for argument in arguments:
        option, equals, value = argument.partition("=")
        if option not in ("--config", "-c"):
            resolved.append(argument)
            continue
        name = value if equals else next(arguments, None)
        if name is None:
            raise UserError("--config: expected a file or the name of a shipped configuration, got nothing")
        configs.append(find_config(name))
        resolved += ["--config", str(configs[-1])]
    return resolved, configs


def experiment_name(configs: list[pathlib.Path]) -> str:
    """What the runs of these configurations are called: the last one that is not an overlay; a run's own is called as that run was."""
    paths = [path for path in configs if not is_overlay(path)]
    if not paths:
        return "custom"
    path = paths[-1].resolve()
    return path.parent.parent.name if (path.parent / "checkpoints").is_dir() else path.stem
