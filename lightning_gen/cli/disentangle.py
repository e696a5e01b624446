"""``lightning-gen disentangle``: whether each latent dimension follows one known factor of variation."""

from __future__ import annotations

from lightning_gen.cli.analysis_options import analysis_arguments, parsed


def run(argv: list[str]) -> int:
    """Measure a checkpoint's codes on data with known factors; print and record MIG and DCI."""
    parser = analysis_arguments("disentangle", "MIG and DCI of a model's codes on data with known factors, beside the untrained network.")
    parser.add_argument("--seed", type=int, default=0, help="keys the untrained network (default: %(default)s)")
    options = parsed(parser, argv)
    from lightning_gen.cli import disentangle_job  # torch and Lightning: only once the options have been looked at

    disentangle_job.run(options)
    return 0
