"""``lightning-gen evaluate``: score a checkpoint, rebuilt from its file alone, and write its result record."""

from __future__ import annotations

from lightning_gen import registry
from lightning_gen.cli.arguments import Arguments
from lightning_gen.cli.scoring_options import add_metric_options, add_network_options

SPLITS = ("train", "validation", "test")


def run(argv: list[str]) -> int:
    """Evaluate on one or several devices; print the scores."""
    parser = Arguments("evaluate", "Score a checkpoint and write its result record.")
    parser.add_argument("checkpoint", metavar="RUN_OR_CKPT", help="a run folder (its best checkpoint, else its last) or a checkpoint file")
    parser.add_argument("--num_samples", type=int, metavar="N", help="images to draw (default: the data set's own N; 0 for none)")
    parser.add_argument("--split", choices=SPLITS, default="test", help="the split to compare with (default: %(default)s)")
    parser.add_argument("--likelihood_samples", type=int, default=1, metavar="K", help="k of the k-sample bound (default: %(default)s)")
    parser.add_argument("--likelihood_images", type=int, metavar="N", help="the first so many images of the split (default: all)")
    parser.add_argument("--seed", type=int, default=0, help="keys the noise of samples and likelihoods (default: %(default)s)")
    parser.add_argument("--weights", choices=("ema", "live"), default="ema", help="averaged weights, where there are any, or live ones")
    parser.add_argument(
        "--temperature", type=float, metavar="T", help="of a flow's samples: z of its prior times T (default: the run's own)"
    )
    parser.add_argument(
        "--truncation", type=float, metavar="T", help="of a BigGAN's samples: z within T deviations of its prior (default: the run's own)"
    )
    parser.add_argument("--standing_statistics", type=int, default=0, metavar="N", help="BatchNorm statistics from N batches of samples")
    parser.add_argument("--generalization", action="store_true", help="compare the likelihood with that of training images")
    parser.add_argument("--neighbours", type=int, default=0, metavar="N", help="picture of N samples beside their nearest training images")
    add_metric_options(parser)
    add_network_options(parser)
    parser.add_argument("--devices", type=int, default=1, metavar="D", help="processes, one per device (default: %(default)s)")
    parser.add_argument("--root", help="folder of the data (default: as in the run's configuration)")
    parser.add_argument("--trust", action="append", default=[], metavar="MODULE", help="module, or .py file, whose classes may be used")
    parser.add_argument("--json", action="store_true", help="print the result record as JSON")
    options = parser.parse_args(argv)
    for module in options.trust:
        registry.trust(module)
    from lightning_gen.cli import evaluation_job  # torch and Lightning: only once the options have been looked at

    evaluation_job.run(options)
    return 0
