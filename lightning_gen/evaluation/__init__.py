"""The evaluation engine: every score of a model's samples and likelihoods, the same on any number of processes."""

from lightning_gen.evaluation.defaults import choose, score_directions
from lightning_gen.evaluation.engine import evaluate, is_measurable, require_something_to_measure, require_use_of_sample_options
from lightning_gen.evaluation.judge import Progress
from lightning_gen.evaluation.plan import Evaluation, Headline, Plan, Scoring

__all__ = [
    "Evaluation",
    "Headline",
    "Plan",
    "Progress",
    "Scoring",
    "choose",
    "evaluate",
    "is_measurable",
    "require_something_to_measure",
    "require_use_of_sample_options",
    "score_directions",
]
