"""``lightning-gen finetune``: a classifier that starts from a model's encoder against the same one from scratch."""

from __future__ import annotations

from lightning_gen.cli.analysis_options import SPLITS, analysis_arguments, parsed


def run(argv: list[str]) -> int:
    """Train both classifiers over seeds; print and record their accuracies."""
    parser = analysis_arguments("finetune", "Compare a classifier that starts from a model's encoder with the same one from scratch.")
    parser.add_argument(
        "--labels", type=int, required=True, metavar="N", help="labelled training images, as equally many of each class as they divide"
    )
    parser.add_argument("--split", choices=SPLITS, default="test", help="the split whose images are classified (default: %(default)s)")
    parser.add_argument("--seeds", type=int, default=5, metavar="S", help="times that all is repeated (default: %(default)s)")
    parser.add_argument("--epochs", type=int, default=100, metavar="E", help="passes over the labelled images (default: %(default)s)")
    options = parsed(parser, argv)
    from lightning_gen.cli import finetune_job  # torch and Lightning: only once the options have been looked at

    finetune_job.run(options)
    return 0
