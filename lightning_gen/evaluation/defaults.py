"""What is scored when nobody says: the data set names its extractors, best first; the first whose weights are here is taken."""

from __future__ import annotations

from dataclasses import dataclass

from lightning_gen.data.base import ImageDataModule
from lightning_gen.errors import UserError
from lightning_gen.evaluation.plan import Headline, Scoring
from lightning_gen.evaluation.setting import DIRECTIONS, RECONSTRUCTION_ERROR, score_name
from lightning_gen.images import is_image
from lightning_gen.leaderboard.record import Better
from lightning_gen.metrics.extractors import INCEPTION, find_inception_weights
from lightning_gen.metrics.extractors.inception_weights import FILE_NAME


@dataclass(frozen=True)
class Choice:
    """Which network scores a data set's samples.

    Args:
        extractor: its name; None when there is none.
        note: one line on what is missing; None when nothing is.
    """

    extractor: str | None
    note: str | None = None


def choose(data: ImageDataModule, scoring: Scoring) -> Choice:
    """The extractor that was asked for, else the first of the data set's whose weights are on this machine."""
    if not is_image(data.data_shape):
        if scoring.extractor:
            raise UserError(f"extractor: {data.name} holds vectors, which no extractor takes; expected none, got {scoring.extractor!r}")
        return Choice(None)
    if scoring.extractor:
        return Choice(scoring.extractor)
    return first_at_hand(data.extractors, scoring)


def first_at_hand(names: tuple[str, ...], scoring: Scoring) -> Choice:
    """The first of some extractors whose weights are on this machine."""
    for number, name in enumerate(names):
        if name != INCEPTION or find_inception_weights(scoring.extractor_weights) is not None:
            return Choice(name, _missing(name) if number else None)
    return Choice(None, "no feature extractor has its weights on this machine" if names else None)


def _missing(used: str) -> str:
    return (
        f"FID, IS and KID need {FILE_NAME}, which is not on this machine: samples are scored with {used} "
        f"(--extractor {INCEPTION} downloads it once)"
    )


def headline(data: ImageDataModule, extractor: str | None, likelihood: bool = True) -> Headline:
    """The score that ranks models of a data set: a Fréchet distance where samples can be scored, else the likelihood, else what is lost
    in reconstructions.

    Args:
        data: the data set.
        extractor: the network that scores the model's samples; None when they cannot be scored.
        likelihood: whether the model has one.
    """
    if extractor is not None:
        return score_name("FD", extractor, is_inception=extractor == INCEPTION), DIRECTIONS["FD"]
    return data.likelihood_unit if likelihood else RECONSTRUCTION_ERROR, "lower"


def score_directions(data: ImageDataModule, scoring: Scoring) -> dict[str, Better]:
    """The scores that runs on this data may log, and which way they are better."""
    extractor = choose(data, scoring).extractor
    directions: dict[str, Better] = {"bits/dim": "lower", "nats": "lower", RECONSTRUCTION_ERROR: "lower"}
    if extractor is not None:
        for kind, better in DIRECTIONS.items():
            directions[score_name(kind, extractor, is_inception=extractor == INCEPTION)] = better
    return directions
