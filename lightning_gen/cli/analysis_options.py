"""The options that the analyses of a trained model share. Imports no torch."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from lightning_gen import registry
from lightning_gen.cli.arguments import Arguments

SPLITS = ("validation", "test")
"""Those that can judge: of the training images much is known already."""


def analysis_arguments(command: str, description: str) -> Arguments:
    """A parser with what every analysis takes."""
    parser = Arguments(command, description)
    parser.add_argument("checkpoint", metavar="RUN_OR_CKPT", help="a run folder (its best checkpoint, else its last) or a checkpoint file")
    parser.add_argument("--weights", choices=("ema", "live"), default="ema", help="averaged weights, where there are any, or live ones")
    parser.add_argument("--root", help="folder of the data (default: as in the run's configuration)")
    parser.add_argument("--trust", action="append", default=[], metavar="MODULE", help="module, or .py file, whose classes may be used")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    return parser


def parsed(parser: Arguments, argv: Sequence[str]) -> argparse.Namespace:
    """The options, with the modules trusted that they name."""
    options = parser.parse_args(argv)
    for module in options.trust:
        registry.trust(module)
    return options
