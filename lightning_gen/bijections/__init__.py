"""Invertible layers: ``forward(x) -> (z, log_det)`` from data to noise, ``inverse(z) -> x`` back."""

from lightning_gen.lazy import lazy_exports

BIJECTIONS = {
    "Bijection": "base",
    "Chain": "base",
    "Inverse": "base",
    "Coupling": "coupling",
    "SplitCoupling": "coupling",
    "Autoregressive": "autoregressive",
    "Gate": "autoregressive",
    "Transform": "transforms",
    "Additive": "transforms",
    "Affine": "transforms",
    "TanhAffine": "transforms",
    "SigmoidAffine": "transforms",
    "RationalQuadraticSpline": "spline",
    "Squeeze": "shapes",
    "Flatten": "shapes",
    "Permutation": "shapes",
    "FactorOut": "factor_out",
    "Logit": "logit",
    "Sigmoid": "logit",
    "Shift": "logit",
    "MixtureCDF": "mixture_cdf",
    "MixtureCDFAffine": "mixture_cdf",
    "CheckerboardSplit": "checkerboard",
    "OnHalves": "checkerboard",
    "ActNorm": "normalization",
    "BatchNormalization": "normalization",
    "InvertibleConvolution": "convolution",
    "LUConvolution": "convolution",
    "Scaling": "scaling",
    "LearnedNormal": "scaling",
    "ODEFlow": "ode",
}

__getattr__, __dir__ = lazy_exports(__name__, BIJECTIONS)
