"""One network under one dialect: real images to a reference, samples to scores. All processes call its methods; rank 0 does the algebra."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch

from lightning_gen.distributed import broadcast_from_first, on_first_rank, rank, say_once
from lightning_gen.evaluation.arithmetic import one_thread
from lightning_gen.evaluation.cache import cache_root, fingerprint, work_folder
from lightning_gen.evaluation.extraction import FeatureSet, Observer, Report, extract
from lightning_gen.evaluation.plan import Scoring
from lightning_gen.evaluation.references import Reference, describe, reference_of
from lightning_gen.evaluation.scores import Floor, scores_of, values_of
from lightning_gen.evaluation.setting import Setting, is_split
from lightning_gen.evaluation.streams import ImageStream
from lightning_gen.leaderboard.record import Score
from lightning_gen.metrics.dialects import dialect
from lightning_gen.metrics.extractors import Extractor, build_extractor

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how many images are finished (over all ranks, about), and of how many."""

LARGEST_IN_MEMORY = 2**26
"""Bytes of features of one set that are kept in memory when nothing identifies it; larger sets go to the disk."""


class Judge:
    """A feature network with its dialect.

    Args:
        extractor: the network.
        dialect_name: whose conventions.
        scoring: how the scores are computed.
        progress: told of every block.
    """

    def __init__(self, extractor: Extractor, dialect_name: str, scoring: Scoring, progress: Progress) -> None:
        self.extractor = extractor
        self.dialect_name = dialect_name
        self.scoring = scoring
        self.progress = progress

    @classmethod
    def build(cls, scoring: Scoring, dialect_name: str, device: torch.device, progress: Progress) -> Judge:
        """With the extractor that ``scoring`` names."""
        assert scoring.extractor
        extractor = build_extractor(
            scoring.extractor,
            device,
            weights=scoring.extractor_weights,
            dialect=dialect_name,
            arithmetic=scoring.arithmetic,
            layer=scoring.layer,
        )
        return cls(extractor, dialect_name, scoring, progress)

    def setting(self, shape: tuple[int, ...], protocol: Mapping[str, Any]) -> Setting:
        """How features of images of a shape become scores."""
        return Setting.of(
            self.extractor,
            dialect=dialect(self.dialect_name, self.scoring.arithmetic),
            arithmetic=self.scoring.arithmetic,
            exact=self.scoring.exact,
            debiased=self.scoring.debiased,
            protocol={**protocol, **self.extractor.protocol_for(shape), "dialect": self.dialect_name},
        )

    def own_metrics(self, metrics: Sequence[str], first: Judge | None, shape: tuple[int, ...]) -> tuple[str, ...]:
        """The metrics that are not the same numbers as under the first dialect: all of them where the images are resized differently."""
        if first is None or self.extractor.protocol_for(shape) != first.extractor.protocol_for(shape):
            return tuple(metrics)
        return tuple(name for name in metrics if name == "kid" or (name == "is" and is_split(self.extractor.name)))

    def reference(self, real: ImageStream) -> Reference | None:
        """The reference of real images; None but on rank 0."""
        return reference_of(real, self.extractor, self.scoring.arithmetic, self._report(f"reference: {real.name}"))

    def scores(
        self,
        samples: ImageStream,
        reference: Reference | None,
        metrics: Sequence[str],
        protocol: Mapping[str, Any],
        *,
        floor: Floor | None = None,
        observe: Observer | None = None,
    ) -> list[Score]:
        """The scores of samples, on every rank."""
        setting = self.setting(samples.shape, protocol)
        with self._features(samples, self._report(samples.name), observe) as features, one_thread():
            return on_first_rank(lambda: scores_of(features, reference, metrics, setting, floor))

    def floor(self, held_out: ImageStream, real: ImageStream, reference: Reference | None, metrics: Sequence[str]) -> Floor:
        """The same scores of held-out real images, on every rank; kept on disk, since they never change."""
        path = self._floor_file(held_out, real, metrics)
        known = broadcast_from_first(_read_floor(path) if rank() == 0 else None)
        if known is not None:
            return Floor(known, held_out.count)
        setting = self.setting(held_out.shape, {"dataset": real.name, "split": ""})
        with self._features(held_out, self._report(f"real images: {held_out.name}"), None) as features, one_thread():
            values = on_first_rank(lambda: _written(path, values_of(features, reference, metrics, setting)))
        return Floor(values, held_out.count)

    def _floor_file(self, held_out: ImageStream, real: ImageStream, metrics: Sequence[str]) -> pathlib.Path | None:
        contents = [describe(stream, self.extractor, self.scoring.arithmetic) for stream in (held_out, real)]
        if None in contents:
            return None
        options = {"metrics": sorted(metrics), "dialect": self.dialect_name, "exact": self.scoring.exact, "debiased": self.scoring.debiased}
        return cache_root() / "floors" / f"{fingerprint({'images': contents[0], 'reference': contents[1], **options})}.json"

    @contextlib.contextmanager
    def _features(self, stream: ImageStream, report: Report, observe: Observer | None) -> Iterator[FeatureSet]:
        """The features of a stream: in memory where they are few and nothing identifies them, else in a folder that survives a kill."""
        self.extractor.prepare(stream.shape)
        content = describe(stream, self.extractor, self.scoring.arithmetic)
        size = 4 * stream.count * (self.extractor.num_features + self.extractor.num_classes)
        if content is None and size <= LARGEST_IN_MEMORY:
            yield extract(stream, self.extractor, None, report, observe)
            return
        with work_folder(None if content is None else fingerprint(content)) as folder:
            yield extract(stream, self.extractor, folder, report, observe)

    def _report(self, stage: str) -> Report:
        return lambda done, total: self.progress(stage, done, total)


def _read_floor(path: pathlib.Path | None) -> dict[str, float] | None:
    if path is None or not path.is_file():
        return None
    try:
        content = json.loads(path.read_text())
        return {str(name): float(value) for name, value in content.items()}
    except (OSError, ValueError, AttributeError, TypeError):
        return None  # computed and written anew


def _written(path: pathlib.Path | None, values: dict[str, float]) -> dict[str, float]:
    if path is not None:
        partial = path.with_name(f".{path.stem}-{secrets.token_hex(4)}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            partial.write_text(json.dumps(values))
            os.replace(partial, path)
        except OSError as error:
            say_once(f"{path.parent}: cannot be written to ({error.strerror or error}); the floor is computed anew next time")
    return values
