"""What of other packages' output does not reach the user."""

from __future__ import annotations

import logging
import warnings

LOGGERS = ("pytorch_lightning", "lightning_fabric", "lightning.pytorch", "lightning.fabric")

ADVICE = (
    "isinstance.treespec, LeafSpec",  # torch's deprecation, in Lightning's code
    "LightningCLI's args parameter",  # we hand over the options of the subcommand on purpose
    "does not have many workers",  # our loaders have their own
    "in eval mode at the start of training",  # averaged weights stay in it
    "module.s. in eval mode",  # the averages stay in it
    "The number of training batches",  # the logging interval of small sets
)


def quiet() -> None:
    """Keep Lightning's advertisements, and advice that does not apply here, out of the output."""
    for name in LOGGERS:
        logging.getLogger(name).setLevel(logging.WARNING)
    for advice in ADVICE:
        warnings.filterwarnings("ignore", message=f".*{advice}.*")
