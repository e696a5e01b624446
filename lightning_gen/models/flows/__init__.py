"""Normalizing flows: an invertible map from images to noise, hence an exact density of what it is given."""

from lightning_gen.lazy import lazy_exports

DEQUANTIZATIONS = {
    "UniformDequantization": "dequantization",
    "VariationalDequantization": "variational_dequantization",
}

__getattr__, __dir__ = lazy_exports(__name__, DEQUANTIZATIONS)
