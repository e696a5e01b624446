"""``lightning-gen anomaly``: how well a model tells images of its own data from others."""

from __future__ import annotations

from lightning_gen.cli.analysis_options import SPLITS, analysis_arguments, parsed


def run(argv: list[str]) -> int:
    """Score both kinds of images; print and record the area under the ROC curve of every score."""
    parser = analysis_arguments("anomaly", "AUROC of a model's scores between images of its own data and others.")
    parser.add_argument("--against", required=True, metavar="DATASET[:SPLIT]", help="the other images (default split: test)")
    parser.add_argument("--against_classes", metavar="C,...", help="only the other images with these labels")
    parser.add_argument("--split", choices=SPLITS, default="test", help="the split of the model's own data (default: %(default)s)")
    parser.add_argument("--num_images", type=int, default=2000, metavar="N", help="images of each kind, at most (default: %(default)s)")
    parser.add_argument(
        "--train_images", type=int, default=50_000, metavar="N", help="seek the nearest among so many (default: %(default)s)"
    )
    parser.add_argument("--likelihood_samples", type=int, default=16, metavar="K", help="k of the k-sample bound (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="keys the choice of images and the noise (default: %(default)s)")
    options = parsed(parser, argv)
    from lightning_gen.cli import anomaly_job  # torch and Lightning: only once the options have been looked at

    anomaly_job.run(options)
    return 0
