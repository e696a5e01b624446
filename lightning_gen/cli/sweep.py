"""``lightning-gen sweep``: train every combination of some values and seeds, and rank them."""

from __future__ import annotations

import pathlib

from lightning_gen.cli.arguments import Arguments
from lightning_gen.configs import find_sweep

FOLDER = "runs/sweeps"
"""Where a sweep gets its folder unless somebody names one; the leaderboard looks there too."""


def run(argv: list[str]) -> int:
    """Run what of the grid is not finished; exit code 1 when a member failed, 75 when the sweep was told to stop."""
    end = argv.index("--") if "--" in argv else len(argv)
    options = _parser().parse_args(argv[:end])
    from lightning_gen.cli.sweep_grid import read_grid  # PyYAML

    path = find_sweep(options.grid)
    grid = read_grid(path).with_options(argv[end + 1 :])
    if options.seeds is not None:
        grid = grid.with_seeds(options.seeds)
    from lightning_gen.cli import sweep_job  # torch, for the parser of fit: only once the grid has been looked at

    return sweep_job.run(grid, pathlib.Path(options.folder or f"{FOLDER}/{path.stem}"), options.jobs, options.dry_run, argv)


def _parser() -> Arguments:
    parser = Arguments(
        "sweep",
        "Train every combination of the values in a grid, each as a process of 'lightning-gen fit', and rank them. Started again, the same"
        " command goes on where it stopped.",
    )
    parser.usage = "lightning-gen sweep GRID [--seeds 0,1,2] [--jobs N] [--folder DIR] [--dry_run] [-- OPTION_OF_FIT ...]"
    parser.add_argument("grid", metavar="GRID", help="YAML file, or one of 'lightning-gen list configs' that starts with sweeps/")
    parser.add_argument("--seeds", metavar="0,1,2", help="train each combination with these seeds, in place of the grid's")
    parser.add_argument(
        "--jobs", type=int, metavar="N", help="members at a time, which share GPUs and cores (default: one per GPU, else one per 4 cores)"
    )
    parser.add_argument("--folder", metavar="DIR", help=f"where members keep their runs and logs (default: {FOLDER}/NAME_OF_GRID)")
    parser.add_argument("--dry_run", action="store_true", help="print the members' command lines and run nothing")
    return parser
