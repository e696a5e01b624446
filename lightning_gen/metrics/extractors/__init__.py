"""Networks that turn images into features.

FID, IS and KID are the names of the Inception-v3 network's scores; every other extractor is named in its scores.
"""

from lightning_gen.metrics.extractors.base import Extraction, Extractor
from lightning_gen.metrics.extractors.custom import CallableExtractor
from lightning_gen.metrics.extractors.fidelity import FidelityExtractor
from lightning_gen.metrics.extractors.in_domain import WEIGHTS, InDomainExtractor, SmallClassifier, extractor_names, read_card
from lightning_gen.metrics.extractors.inception import InceptionV3TF
from lightning_gen.metrics.extractors.inception_weights import INCEPTION, find_inception_weights, has_official_weights
from lightning_gen.metrics.extractors.registry import build_extractor, known_extractors

__all__ = [
    "INCEPTION",
    "WEIGHTS",
    "CallableExtractor",
    "Extraction",
    "Extractor",
    "FidelityExtractor",
    "InDomainExtractor",
    "InceptionV3TF",
    "SmallClassifier",
    "build_extractor",
    "extractor_names",
    "find_inception_weights",
    "has_official_weights",
    "known_extractors",
    "read_card",
]
