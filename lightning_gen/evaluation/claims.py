"""Published numbers beside verified ones."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Real

from lightning_gen.errors import UserError, did_you_mean
from lightning_gen.evaluation.scores import ALIASES
from lightning_gen.evaluation.setting import INCEPTION_NAMES
from lightning_gen.leaderboard.record import Score

KINDS = {
    "fid": ("fid", "FD"),
    "is": ("is", "CS"),
    "kid": ("kid", "KD"),
    "fd_infinity": ("fd_infinity", "FD-infinity"),
    "per_class": ("per_class", "FD per class"),
    "precision": ("prdc", "precision"),
    "recall": ("prdc", "recall"),
    "density": ("prdc", "density"),
    "coverage": ("prdc", "coverage"),
}
"""What can be claimed -> the metric that verifies it, and the kind of score that it gives."""

INCEPTION_ONLY = ("fid", "is", "kid")


@dataclass(frozen=True)
class Claim:
    """A claimed number and the verified one.

    Args:
        name: of the score.
        claimed: what somebody says.
        verified: what came out here.
        difference: verified - claimed.
        uncertainty: of the verified number; None when it has none.
        ratio: the difference in units of the uncertainty.
    """

    name: str
    claimed: float
    verified: float
    difference: float
    uncertainty: float | None = None
    ratio: float | None = None

    def in_words(self) -> str:
        """``FID: claimed 3.17, verified 3.24 ± 0.05, +0.07 (1.4 times its uncertainty)``."""
        error = "" if self.uncertainty is None else f" ± {self.uncertainty:.2g}"
        units = "" if self.ratio is None else f" ({abs(self.ratio):.2g} times its uncertainty)"
        return f"{self.name}: claimed {self.claimed:.6g}, verified {self.verified:.6g}{error}, {self.difference:+.3g}{units}"


def parse_claims(text: str) -> dict[str, float]:
    """``fid=3.17,is=9.46`` as numbers by name.

    Raises:
        UserError: an unknown name, a name twice, or no number.
    """
    claims: dict[str, float] = {}
    for part in text.split(","):
        name, equals, number = part.partition("=")
        name = name.strip().lower()
        try:
            value = float(number) if equals else math.nan
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise UserError(f"--claimed {part.strip()!r}: expected a name and a number, such as fid=3.17")
        if name in claims:
            raise UserError(f"--claimed {part.strip()!r}: {name} is claimed twice")
        claims[name] = value
    return check_claims(claims)


def check_claims(claims: Mapping[str, float]) -> dict[str, float]:
    """Claims by their names in small letters; refused are names that no score has, a name twice, and what is no finite number."""
    if not isinstance(claims, Mapping):
        raise UserError(f"claimed: expected numbers by name, such as {{'fid': 3.17}}, got {claims!r}")
    checked: dict[str, float] = {}
    for given, value in claims.items():
        name = str(given).strip().lower()
        if ALIASES.get(name, name) not in KINDS:
            raise UserError(f"--claimed {given}: unknown score; {did_you_mean(name, [*KINDS, *ALIASES])}")
        if name in checked:
            raise UserError(f"--claimed {given}: {name} is claimed twice")
        if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value):
            raise UserError(f"--claimed {given}: expected a finite number, got {value!r}")
        checked[name] = float(value)
    return checked


def metrics_for(claims: Mapping[str, float], metrics: Sequence[str]) -> tuple[str, ...]:
    """The metrics together with those that verify the claims."""
    return tuple(dict.fromkeys([*metrics, *(KINDS[ALIASES.get(name, name)][0] for name in claims)]))


def require_inception(claims: Mapping[str, float], extractor: str, is_inception: bool) -> None:
    """FID, IS and KID are numbers of one network; those of another one cannot verify them."""
    foreign = [name for name in claims if name in INCEPTION_ONLY and not is_inception]
    if foreign:
        aliases = {full: short for short, full in ALIASES.items()}
        raise UserError(
            f"--claimed {foreign[0]}: a number of Inception with its official weights, but {extractor} scores here; "
            f"expected --extractor inception-v3-tf, or {aliases[foreign[0]]}=... for a number of {extractor}"
        )


def compare(claims: Mapping[str, float], scores: Sequence[Score], extractor: str) -> list[Claim]:
    """Every claim beside each score that it is about: one per dialect."""
    found = []
    for name, claimed in claims.items():
        kind = KINDS[ALIASES.get(name, name)][1]
        names = {INCEPTION_NAMES.get(kind, kind), f"{kind}({extractor})"}
        for score in scores:
            if score.name.partition("[")[0] in names:
                found.append(_compare(score, claimed))
    return found


def _compare(score: Score, claimed: float) -> Claim:
    difference = score.value - claimed
    error = score.uncertainty
    return Claim(score.name, claimed, score.value, difference, error, difference / error if error else None)
