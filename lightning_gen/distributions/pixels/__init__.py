"""Distributions of one pixel, or of one colour of it, given what came before."""

from lightning_gen.lazy import lazy_exports

PIXELS = {
    "PixelDistribution": "base",
    "Categorical": "categorical",
    "Bernoulli": "bernoulli",
    "DiscretizedLogisticMixture": "logistic_mixture",
}

__getattr__, __dir__ = lazy_exports(__name__, PIXELS)
