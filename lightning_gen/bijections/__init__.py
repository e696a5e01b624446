"""Invertible layers: ``forward(x) -> (z, log_det)`` from data to noise, ``inverse(z) -> x`` back."""

from lightning_gen.lazy import lazy_exports

BIJECTIONS = {
    "Bijection": "base",
    "Chain": "base",
    "Inverse": "base",
    "Coupling": "coupling",
    "SplitCoupling": "coupling",
    "Transform": "transforms",
    "Additive": "transforms",
    "Affine": "transforms",
    "TanhAffine": "transforms",
    "SigmoidAffine": "transforms",
    "Squeeze": "shapes",
    "Flatten": "shapes",
    "Permutation": "shapes",
    "FactorOut": "factor_out",
    "Logit": "logit",
    "Sigmoid": "logit",
    "Shift": "logit",
    "ActNorm": "normalization",
    "BatchNormalization": "normalization",
}

__getattr__, __dir__ = lazy_exports(__name__, BIJECTIONS)
