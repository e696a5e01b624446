"""Which parts of a configuration are the experiment, as dotted keys."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

EXPERIMENT = ("seed_everything", "model", "data", "ema", "training_noise")
"""The parts of a configuration that say what is trained on what; a run that is continued keeps them."""

TRAINING_SETTINGS = ("precision", "gradient_clip_val", "gradient_clip_algorithm", "accumulate_grad_batches")
"""The trainer's settings that change what is learned; kept as well."""

MACHINE_DEPENDENT = ("data.init_args.root",)
"""Keys within them that only say where something lies."""


def experiment_settings(config: dict[str, Any]) -> dict[str, Any]:
    """What of a configuration is the experiment, as dotted keys: what is trained on what, not how long, how often or where."""
    chosen = {key: config[key] for key in EXPERIMENT if key in config}
    chosen["trainer"] = {key: config.get("trainer", {}).get(key) for key in TRAINING_SETTINGS}
    return {key: value for key, value in flat(chosen) if key not in MACHINE_DEPENDENT}


def flat(config: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys and values of nested mappings; an empty one is a value."""
    for key, value in config.items():
        if isinstance(value, dict) and value:
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
