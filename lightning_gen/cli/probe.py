"""``lightning-gen probe``: what simple classifiers find in a model's codes, beside raw pixels and the untrained network."""

from __future__ import annotations

from lightning_gen.cli.analysis_options import SPLITS, analysis_arguments, parsed


def run(argv: list[str]) -> int:
    """Probe a checkpoint's encoder; print and record the accuracies."""
    parser = analysis_arguments("probe", "Accuracy of simple classifiers on a model's codes, beside raw pixels and the untrained network.")
    parser.add_argument("--split", choices=SPLITS, default="test", help="the split whose images are classified (default: %(default)s)")
    parser.add_argument("--num_images", type=int, default=10_000, metavar="N", help="training images to learn from (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="keys the choice of images and the untrained network (default: %(default)s)")
    options = parsed(parser, argv)
    from lightning_gen.cli import probe_job  # torch and Lightning: only once the options have been looked at

    probe_job.run(options)
    return 0
