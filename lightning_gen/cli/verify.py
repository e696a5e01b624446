"""``lightning-gen verify``: evaluate a record's checkpoint again under the record's protocol."""

from __future__ import annotations

from lightning_gen import registry
from lightning_gen.cli.arguments import Arguments


def run(argv: list[str]) -> int:
    """Print a line for each claimed score; exit code 1 when a claim does not hold, 2 when it cannot be checked."""
    parser = Arguments("verify", "Evaluate a record's checkpoint again and say whether its scores hold.")
    parser.add_argument("result", metavar="RESULT", help="a result file, best within the run folder that it belongs to")
    parser.add_argument("--extractor_weights", metavar="FILE", help="file with the extractor's weights (default: found)")
    parser.add_argument("--devices", type=int, default=1, metavar="D", help="processes, one per device (default: %(default)s)")
    parser.add_argument("--root", help="folder of the data (default: as in the run's configuration)")
    parser.add_argument("--trust", action="append", default=[], metavar="MODULE", help="module, or .py file, whose classes may be used")
    parser.add_argument("--json", action="store_true", help="print what came out as JSON")
    options = parser.parse_args(argv)
    for module in options.trust:
        registry.trust(module)
    from lightning_gen.cli import verify_job  # torch and Lightning: only once the options have been looked at

    return verify_job.run(options)
