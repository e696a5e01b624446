"""``lightning-gen explore``: pictures and numbers of a model's latent space."""

from __future__ import annotations

from lightning_gen import registry
from lightning_gen.cli.arguments import Arguments
from lightning_gen.cli.evaluate import SPLITS

KINDS = (
    "posterior", "traversal", "manifold", "scatter", "interpolation", "arithmetic", "holes", "reconstruction",
    "density", "path", "temperature", "completion", "code_traversal",
)  # fmt: skip


def run(argv: list[str]) -> int:
    """Draw and write; prints a line for each kind."""
    parser = Arguments("explore", "Picture and measure the latent space of a checkpoint.")
    parser.add_argument("checkpoint", metavar="RUN_OR_CKPT", help="a run folder (its best checkpoint, else its last) or a checkpoint file")
    parser.add_argument("--kind", metavar="KIND,...", help=f"of {', '.join(KINDS)} (default: every one that the model is capable of)")
    parser.add_argument("--split", choices=SPLITS, default="test", help="whose images are encoded (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of drawn latents only: number i is that of 'sample' (default: %(default)s)")
    parser.add_argument("--weights", choices=("ema", "live"), default="ema", help="averaged weights, where there are any, or live ones")
    parser.add_argument("--num_images", type=int, metavar="N", help="images, rows or pairs of a picture, points of a plot")
    parser.add_argument(
        "--steps",
        type=int,
        metavar="N",
        help="columns of traversal, interpolation, path and completion, side of the manifold and of the density",
    )
    parser.add_argument(
        "--images", metavar="I,J,...", help="numbers of images (samples, without an encoder) to traverse, to join by two, or to complete"
    )
    parser.add_argument(
        "--labels",
        metavar="A,B,C",
        help="groups of C + A - B: classes such as 3,5,8, or attributes such as 15-31,31-15,20 (--labels=-31,15,20 to start with a minus)",
    )
    parser.add_argument("--samples", metavar="I,J:K,L:M,N", help="groups of C + A - B by the numbers of samples")
    parser.add_argument("--out", metavar="FOLDER", help="where to write, under names with the run's (default: the run's pictures folder)")
    parser.add_argument(
        "--wandb",
        choices=("auto", "on", "off"),
        default="auto",
        help="add to the run's W&B run: auto, if it has one; on, start one if need be",
    )
    parser.add_argument("--root", help="folder of the data (default: as in the run's configuration)")
    parser.add_argument("--trust", action="append", default=[], metavar="MODULE", help="module, or .py file, whose classes may be used")
    options = parser.parse_args(argv)
    for module in options.trust:
        registry.trust(module)
    from lightning_gen.cli import explore_job  # torch and Lightning: only once the options have been looked at

    explore_job.run(options)
    return 0
