"""Distributions: of latent vectors, and of images given a decoder's output."""

from lightning_gen.lazy import lazy_exports

DISTRIBUTIONS = {
    "LatentDistribution": "base",
    "DiagonalNormal": "normal",
    "FullNormal": "normal",
    "NormalMixture": "mixture",
    "Likelihood": "likelihoods",
    "Bernoulli": "likelihoods",
    "Gaussian": "likelihoods",
    "DiscretizedLogistic": "likelihoods",
    "CodePrior": "codes",
    "CategoricalCodePrior": "codes",
    "AutoregressiveCodePrior": "autoregressive_codes",
    "Poisson": "poisson",
    "Corruption": "corruptions",
    "GaussianCorruption": "corruptions",
    "MaskingCorruption": "corruptions",
    "SaltAndPepperCorruption": "corruptions",
}

__getattr__, __dir__ = lazy_exports(__name__, DISTRIBUTIONS)
