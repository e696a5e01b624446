"""lightning-gen: train, score and rank deep generative models of images with PyTorch Lightning.

Importing the package loads nothing heavy.
"""

__version__ = "0.1.0"
