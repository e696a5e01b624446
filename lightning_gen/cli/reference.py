"""``lightning-gen reference``: statistics of real images: compute, list, import and export them."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from lightning_gen import registry
from lightning_gen.cli.arguments import Arguments
from lightning_gen.cli.scoring_options import add_network_options
from lightning_gen.errors import UserError, did_you_mean

DIALECTS = ("tf1", "torchmetrics")


def run(argv: list[str]) -> int:
    """Run one of the actions; each prints what it found or did."""
    action, *rest = argv or ["--help"]
    if action in ("--help", "-h"):
        print(help_text())
        return 0
    if action not in ACTIONS:
        raise UserError(f"reference: unknown action {action!r}; {did_you_mean(action, ACTIONS)}")
    build, description = ACTIONS[action]
    parser = Arguments(f"reference {action}", description)
    build(parser)
    options = parser.parse_args(rest)
    for module in getattr(options, "trust", []):
        registry.trust(module)
    from lightning_gen.cli import reference_job  # torch and Lightning: only once the options have been looked at

    getattr(reference_job, f"{action}_references")(options)
    return 0


def help_text() -> str:
    """The actions, one line each."""
    lines = [f"  {name:<8} {description}" for name, (_, description) in ACTIONS.items()]
    return "\n".join(["usage: lightning-gen reference ACTION [OPTION ...]", "", *lines])


def _compute(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("images", metavar="REAL", help="DATASET[:SPLIT], folder, or file of images")
    parser.add_argument("--split", help="split of the data set (default: train; splits join as in train+validation)")
    add_network_options(parser)
    parser.add_argument("--dialect", choices=DIALECTS, default=DIALECTS[0], help="whose preprocessing (default: %(default)s)")
    parser.add_argument("--image_size", type=int, metavar="N", help="crop and resize a folder, or a data set that can, to N x N")
    parser.add_argument("--devices", type=int, default=1, metavar="D", help="processes, one per device (default: %(default)s)")
    parser.add_argument("--root", help="folder of the data sets (default: $LIGHTNING_GEN_DATA)")
    parser.add_argument("--trust", action="append", default=[], metavar="MODULE", help="module, or .py file, whose classes may be used")


def _list(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


def _import(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help=".npz file of EDM, guided-diffusion (ADM), clean-fid, pytorch-fid or lightning-gen")
    parser.add_argument("--name", required=True, help="how it will be called")
    parser.add_argument(
        "--extractor", metavar="NAME", help="the network whose features these are (default: as the file says, or Inception)"
    )
    parser.add_argument("--dialect", choices=DIALECTS, help="whose preprocessing (default: as the file says, or tf1)")


def _export(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="of 'lightning-gen reference list'")
    parser.add_argument("file", metavar="FILE", help="the .npz file to write, which pytorch-fid, EDM and clean-fid read")


Build = Callable[[argparse.ArgumentParser], None]

ACTIONS: dict[str, tuple[Build, str]] = {
    "compute": (_compute, "Compute the statistics and features of real images once, and keep them."),
    "list": (_list, "Show the references on this machine."),
    "import": (_import, "Keep the statistics of a file of another package under a name."),
    "export": (_export, "Write a reference to a file that other packages read."),
}
