"""``lightning-gen export``: a run's weights as a folder that other programs can read."""

from __future__ import annotations

import pathlib

from lightning_gen.cli.arguments import Arguments


def run(argv: list[str]) -> int:
    """Write the folder; prints where."""
    parser = Arguments(
        "export", "Write a run's weights as safetensors beside a model.json; every command takes the folder as a checkpoint."
    )
    parser.add_argument("checkpoint", metavar="RUN_OR_CKPT", help="a run folder or a checkpoint file")
    parser.add_argument("--which", choices=("best", "last"), default="best", help="of a run's checkpoints (default: best, else last)")
    parser.add_argument("--weights", choices=("ema", "live"), default="ema", help="averaged weights, where there are any, or live ones")
    parser.add_argument("--format", choices=("safetensors",), default="safetensors", help="of the weights (default: %(default)s)")
    parser.add_argument("--out", metavar="FOLDER", help="a new or an empty folder (default: export/ in the run folder)")
    options = parser.parse_args(argv)
    from lightning_gen.checkpoint import export, find_checkpoint  # torch: only once the options have been looked at
    from lightning_gen.reporting import run_of

    path = find_checkpoint(options.checkpoint, options.which)
    folder = pathlib.Path(options.out) if options.out else run_of(path) / "export"
    print(export(path, folder, weights=options.weights))
    return 0
