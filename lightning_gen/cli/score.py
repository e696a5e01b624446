"""``lightning-gen score``: score anybody's images, or what a generator draws, against real ones."""

from __future__ import annotations

from lightning_gen import registry
from lightning_gen.cli.arguments import Arguments
from lightning_gen.cli.scoring_options import add_metric_options, add_network_options

DESCRIPTION = "Score images against real ones; a killed run goes on where it was."


def run(argv: list[str]) -> int:
    """Score; print the scores."""
    parser = Arguments("score", DESCRIPTION)
    parser.add_argument(
        "source", metavar="IMAGES", help="folder, .npz or .npy file of images, TorchScript file (.pt, .pth, .ts), run folder or checkpoint"
    )
    parser.add_argument(
        "--reference",
        metavar="REAL",
        help="DATASET[:SPLIT] (by default train; splits join as in CIFAR10:train+validation), folder, file of images, "
        ".npz file of statistics, or a name of 'lightning-gen reference list'",
    )
    add_metric_options(parser)
    add_network_options(parser)
    parser.add_argument("--num_samples", type=int, metavar="N", help="images to score (default: all); a generator or model needs it")
    parser.add_argument("--seed", type=int, help="keys what a generator or model draws (default: 0)")
    parser.add_argument("--latent_dim", type=int, metavar="D", help="length of a TorchScript generator's standard normal z")
    parser.add_argument("--image_size", type=int, metavar="N", help="crop and resize folders of pictures, and data sets that can, to N x N")
    parser.add_argument(
        "--weights", choices=("ema", "live"), help="of a run: averaged weights, where there are any (default), or live ones"
    )
    parser.add_argument("--standing_statistics", type=int, default=0, metavar="N", help="of a run: BatchNorm from N batches of samples")
    parser.add_argument("--claimed", metavar="fid=F,...", help="published numbers, printed beside the verified ones")
    parser.add_argument("--devices", type=int, default=1, metavar="D", help="processes, one per device (default: %(default)s)")
    parser.add_argument("--root", help="folder of the data sets (default: $LIGHTNING_GEN_DATA)")
    parser.add_argument("--trust", action="append", default=[], metavar="MODULE", help="module, or .py file, whose classes may be used")
    parser.add_argument("--json", action="store_true", help="print everything as JSON")
    options = parser.parse_args(argv)
    for module in options.trust:
        registry.trust(module)
    from lightning_gen.cli import score_job  # torch and Lightning: only once the options have been looked at

    score_job.run(options)
    return 0
