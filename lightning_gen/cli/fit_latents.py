"""``lightning-gen fit_latents``: fit a density to the codes of a trained model, so that it can be sampled."""

from __future__ import annotations

from lightning_gen import registry
from lightning_gen.cli.arguments import Arguments

DENSITIES = ("gaussian", "mixture")


def run(argv: list[str]) -> int:
    """Encode the training images, fit, and write a new run folder; prints where."""
    parser = Arguments("fit_latents", "Fit a density to the codes of a trained model: a new run, which can be sampled and evaluated.")
    parser.add_argument("checkpoint", metavar="RUN_OR_CKPT", help="a run folder (its best checkpoint, else its last) or a checkpoint file")
    parser.add_argument("--density", choices=DENSITIES, default="gaussian", help="one normal, or a mixture of them (default: %(default)s)")
    parser.add_argument("--components", type=int, metavar="K", help="normals of the mixture (default: 10)")
    parser.add_argument("--images", type=int, metavar="N", help="the first so many training images (default: all)")
    parser.add_argument("--seed", type=int, default=0, help="of the mixture's starting point (default: %(default)s)")
    parser.add_argument("--weights", choices=("ema", "live"), default="ema", help="averaged weights, where there are any, or live ones")
    parser.add_argument("--runs", metavar="FOLDER", help="folder in which the new run gets its own folder (default: where the old run is)")
    parser.add_argument("--root", help="folder of the data (default: as in the run's configuration)")
    parser.add_argument("--trust", action="append", default=[], metavar="MODULE", help="module, or .py file, whose classes may be used")
    options = parser.parse_args(argv)
    for module in options.trust:
        registry.trust(module)
    from lightning_gen.cli import fit_latents_job  # torch and Lightning: only once the options have been looked at

    fit_latents_job.run(options)
    return 0
