"""``lightning-gen sample``: draw images from a checkpoint into a sheet, a folder or an array file."""

from __future__ import annotations

from lightning_gen import registry
from lightning_gen.cli.arguments import Arguments


def run(argv: list[str]) -> int:
    """Draw and write; prints where."""
    parser = Arguments("sample", "Draw images from a checkpoint.")
    parser.add_argument("checkpoint", metavar="RUN_OR_CKPT", help="a run folder (its best checkpoint, else its last) or a checkpoint file")
    parser.add_argument("--num_samples", type=int, default=64, metavar="N", help="images to draw (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="keys the noise: sample i of a seed is always the same (default: %(default)s)")
    parser.add_argument(
        "--labels", help="for a conditional model: classes such as 3 or 0,1,2, or attributes as digits such as 0110,1000; repeated up to N"
    )
    parser.add_argument("--weights", choices=("ema", "live"), default="ema", help="averaged weights, where there are any, or live ones")
    parser.add_argument(
        "--temperature", type=float, metavar="T", help="of a flow's samples: z of its prior times T (default: the run's own)"
    )
    parser.add_argument(
        "--truncation", type=float, metavar="T", help="of a BigGAN's samples: z within T deviations of its prior (default: the run's own)"
    )
    parser.add_argument("--out", default="samples.png", help="sheet.png, folder/ or samples.npz (default: %(default)s)")
    parser.add_argument("--trust", action="append", default=[], metavar="MODULE", help="module, or .py file, whose classes may be used")
    options = parser.parse_args(argv)
    for module in options.trust:
        registry.trust(module)
    from lightning_gen.cli import sampling  # torch and Lightning: only once the options have been looked at

    sampling.run(options)
    return 0
