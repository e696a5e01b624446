"""Published results of recipes that configurations follow: whether a run of one is where it should be.

Only for a score of the same name on the same data set, with as many samples, against images of the same split.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lightning_gen.leaderboard.literature import literature
from lightning_gen.leaderboard.record import ResultRecord, Score

BAND = 0.1
"""How far from a published value, as a share of it, a run counts as on track: other code, other seeds, other networks' last digits."""
NEAR = 0.05
"""How far from a point of a published curve, as a share of its generator updates, a checkpoint may be to be compared with it."""
OFF = "off the published band"


@dataclass(frozen=True, kw_only=True)
class Published:
    """A published recipe's scores.

    Args:
        source: who published it.
        model: the class that trains it.
        hyperparameters: of the model, those without which it is another recipe.
        score: name of the score; lower is better.
        split: whose images are the reference.
        num_samples: N.
        images_per_update: real images that belong to a generator update: batch times discriminator updates.
        final: generator updates at the end, and the value there.
        curve: generator updates -> value, on the way.
        remark: how the protocol is not quite the same.
    """

    source: str
    model: str
    hyperparameters: Mapping[str, Any]
    split: str
    num_samples: int
    images_per_update: int
    score: str = "FID"
    final: tuple[int, float] | None = None
    curve: Mapping[int, float] = field(default_factory=dict)
    remark: str = ""


def _published(config: str) -> Published:
    recipe, group, row = literature().recipe(config)
    return Published(
        source=group.source,
        model=recipe.model,
        hyperparameters=recipe.hyperparameters,
        split=group.protocol["split"],
        num_samples=group.protocol["num_samples"],
        images_per_update=recipe.images_per_update,
        final=None if recipe.updates is None else (recipe.updates, row.scores["FID"]),
        curve=recipe.curve,
        remark=recipe.remark,
    )


PUBLISHED: dict[str, Published] = {config: _published(config) for config in literature().recipes}
"""By the name of the configuration."""


def verdict(record: ResultRecord) -> str | None:
    """One line on where a result stands beside the published ones; None where there is nothing to compare.

    Args:
        record: of a run.
    """
    published = PUBLISHED.get(record.config_name)
    if published is not None and not _follows(record, published):
        return None
    score = None if published is None else next((score for score in record.scores if _is_comparable(score, published)), None)
    if published is None or score is None:
        return None
    updates = record.cost.images_seen / published.images_per_update
    points = {**published.curve, **({} if published.final is None else dict([published.final]))}
    near = [point for point in points if abs(updates - point) <= NEAR * point]
    if not near:
        at = ", ".join(f"{point:,}" for point in points)
        return f"published ({published.source}): at {at} generator updates; this is {updates:,.0f}"
    point = min(near, key=lambda point: abs(point - updates))
    low, high = points[point] * (1 - BAND), points[point] * (1 + BAND)
    words = "on track" if low <= score.value <= high else "better than the published band" if score.value < low else OFF
    remark = f" ({published.remark})" if published.remark else ""
    place = f"{points[point]:g} at {point:,} generator updates{remark}"
    return f"{words}: {score.name} {score.value:.4g}, published ({published.source}) {place}"


def _follows(record: ResultRecord, published: Published) -> bool:
    """Whether a run that has the configuration's name is of its recipe too: options and files of that name may say otherwise."""
    ours = record.model.hyperparameters
    return record.model.name == published.model and all(ours.get(key) == value for key, value in published.hyperparameters.items())


def _is_comparable(score: Score, published: Published) -> bool:
    asked = {"dataset": "cifar10", "split": published.split, "num_samples": published.num_samples}
    return score.name == published.score and all(score.protocol.get(key) == value for key, value in asked.items())
