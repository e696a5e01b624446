"""``lightning-gen debug``: the step on which a run met NaN or infinity, once more in float32 and in float64."""

from __future__ import annotations

from lightning_gen import registry
from lightning_gen.cli.arguments import Arguments


def run(argv: list[str]) -> int:
    """Replay the failed step of a run and print what every layer did; changes nothing."""
    parser = Arguments("debug", "Replay the step on which a run met NaN or infinity, with its batch and its noise, in float32 and float64.")
    parser.add_argument("run", metavar="RUN", help="a run folder, or its debug/nonfinite.pt")
    parser.add_argument(
        "--weights",
        choices=("failed", "checkpoint"),
        help="those at the failure, or the last good checkpoint's (default: the first, and the second too where the first are not finite)",
    )
    parser.add_argument("--trust", action="append", default=[], metavar="MODULE", help="module, or .py file, whose classes may be used")
    parser.add_argument("--json", action="store_true", help="print all of it as JSON")
    options = parser.parse_args(argv)
    for module in options.trust:
        registry.trust(module)
    from lightning_gen.cli import debug_job  # torch and Lightning: only once the options have been looked at

    debug_job.run(options)
    return 0
