"""``lightning-gen demo``: train, score and rank five models on real images that come with a dependency."""

from __future__ import annotations

import pathlib

from lightning_gen.cli.arguments import Arguments

CONFIGS = ("vae_digits", "vamp_prior_vae_digits", "maf_digits", "made_digits", "dcgan_digits")


def run(argv: list[str]) -> int:
    """Train each model, evaluate it beside its untrained network, print the leaderboard and the files that were written."""
    parser = Arguments(
        "demo", "Train, score and rank two VAEs, a flow, a MADE and a DCGAN on real digits; no download, under 3 minutes on 2 cores."
    )
    parser.add_argument("--runs", default="runs/demo", help="folder for the runs (default: %(default)s)")
    options = parser.parse_args(argv)
    from lightning_gen.cli import fit, leaderboard

    known = _runs(options.runs)
    for config in CONFIGS:
        fit.run(["--config", config, "--runs", options.runs, "--wandb", "off", "--checkpoints.untrained", "true"])
    leaderboard.run(["--results", options.runs])
    for folder in sorted(_runs(options.runs) - known):
        print(f"run folder:   {folder}")
        for sheet in sorted((folder / "pictures").glob("samples_*.png"))[-1:]:
            print(f"sample sheet: {sheet}")
    return 0


def _runs(folder: str) -> set[pathlib.Path]:
    return {path.parent for path in pathlib.Path(folder).glob("*/*/config.yaml")}
