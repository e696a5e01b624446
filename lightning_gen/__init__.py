"""lightning-gen: train, score and rank deep generative models of images with PyTorch Lightning.

Importing the package loads nothing heavy.
"""

from lightning_gen.lazy import lazy_exports

__version__ = "0.1.0"

EXPORTS = {
    **dict.fromkeys(("load", "evaluate", "train", "resume", "build_trainer"), "api"),
    **dict.fromkeys(("score", "compute_reference"), "evaluation.api"),
    **dict.fromkeys(("load_model", "export"), "checkpoint"),
}
"""What is used most, by name; the module is loaded on first use."""

__getattr__, __dir__ = lazy_exports(__name__, EXPORTS)
