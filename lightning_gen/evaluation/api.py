"""Score anybody's images: what ``lightning-gen score`` does, as one call."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from lightning_gen.data.base import ImageDataModule
from lightning_gen.distributed import on_first_rank, world_size
from lightning_gen.errors import UserError, did_you_mean
from lightning_gen.evaluation.arithmetic import exact_arithmetic
from lightning_gen.evaluation.checks import ImageChecks, count_warnings, format_warning, shape_warnings
from lightning_gen.evaluation.claims import Claim, check_claims, compare, metrics_for, require_inception
from lightning_gen.evaluation.defaults import choose, first_at_hand
from lightning_gen.evaluation.judge import Judge, Progress
from lightning_gen.evaluation.named_references import Entry, computed_entry
from lightning_gen.evaluation.plan import Scoring
from lightning_gen.evaluation.real_images import RealImages, real_images
from lightning_gen.evaluation.references import Reference, describe, reference_folder
from lightning_gen.evaluation.samples import Samples, check_image_size, opened
from lightning_gen.evaluation.scores import Floor
from lightning_gen.evaluation.setting import INCEPTION_NAMES
from lightning_gen.evaluation.sources import Source
from lightning_gen.evaluation.streams import ImageStream
from lightning_gen.leaderboard.record import Score
from lightning_gen.metrics.extractors import INCEPTION, CallableExtractor, Extractor
from lightning_gen.metrics.extractors.registry import refuse
from lightning_gen.metrics.extractors.weight_files import first_line
from lightning_gen.models.base import GenerativeModel

OTHER_RESIZE = "; clean-fid and pytorch-fid resize otherwise, so their statistics fit images of 299 x 299 only"

LISTS = ("metrics", "dialects")
"""The options that are several words, which may also be one text with commas."""

NO_REFERENCE = RealImages("none", {"dataset": "none", "split": "none"})


@dataclass(frozen=True)
class Verdict:
    """What became of some images, equal on every rank.

    Args:
        samples: what was scored, in words.
        num_samples: N.
        reference: what it was compared with, in words.
        scores: the scores.
        warnings: one line for everything that looks like a mistake, or that a reader has to know.
        claims: claimed numbers beside verified ones.
        world_size: how many processes worked; nothing else depends on it.
    """

    samples: str
    num_samples: int
    reference: str
    scores: list[Score]
    warnings: list[str] = field(default_factory=list)
    claims: list[Claim] = field(default_factory=list)
    world_size: int = 1

    def value(self, name: str) -> float | None:
        """The value of a score by name."""
        return next((score.value for score in self.scores if score.name == name), None)


def score(
    source: Source | GenerativeModel,
    reference: Any = None,
    *,
    root: str | None = None,
    claimed: Mapping[str, float] | None = None,
    device: torch.device | str = "cpu",
    progress: Progress | None = None,
    **options: Any,
) -> Verdict:
    """Score images against real ones; within a process group every rank has to call this, and gets the same.

    Args:
        source: a folder, an ``.npz`` or ``.npy`` file, an array of images, a TorchScript file, a function ``(n, seed) -> n images``, a run
            folder, a checkpoint or a model.
        reference: ``DATASET[:SPLIT]``, a folder, an array or its file, an ``.npz`` file of statistics, or the name of a reference (see
            :func:`~lightning_gen.evaluation.real_images.real_images`); None where the metrics need none.
        root: folder of the data sets.
        claimed: finite numbers to verify, by name: ``{"fid": 3.17}``.
        device: where networks run.
        progress: told of every block.
        options: fields of :class:`~lightning_gen.evaluation.samples.Samples` and :class:`~lightning_gen.evaluation.plan.Scoring`, such as
            ``num_samples``, ``metrics``, ``extractor``, ``dialects``; ``extractor`` may also be an
            :class:`~lightning_gen.metrics.extractors.base.Extractor`, or any callable that maps uint8 ``(B, C, H, W)`` to features.

    Raises:
        UserError: whatever is wrong with the input, in one line.
    """
    device = available_device(device)
    network = _network(options.get("extractor"), device)
    samples, scoring = _split_options(source, options if network is None else {**options, "extractor": network.name})
    claims = check_claims({} if claimed is None else claimed)
    check_image_size(samples, reference)
    real = NO_REFERENCE if reference is None else real_images(reference, root, samples.image_size)
    scoring, note = _settle(scoring, real, reference is not None, claims)
    # Building the extractor's network draws its weights, before the stored ones replace them.
    with torch.random.fork_rng(devices=[]), exact_arithmetic(), opened(samples, device) as (stream, protocol):
        judges = _judges(scoring, network, device, progress or (lambda *_: None))
        verdict = _score(stream, real, judges, {**real.protocol, **protocol}, claims)
    return dataclasses.replace(verdict, warnings=[*([note] if note else []), *verdict.warnings])


def compute_reference(
    images: Any,
    *,
    root: str | None = None,
    image_size: int | None = None,
    device: torch.device | str = "cpu",
    progress: Progress | None = None,
    **options: Any,
) -> Entry:
    """Compute a reference once and keep it; every rank has to call this.

    Args:
        images: ``DATASET[:SPLIT]``, a folder, or a file of images.
        root, image_size, device, progress: see :func:`score`.
        options: the fields of :class:`~lightning_gen.evaluation.plan.Scoring` that say which network under which dialect.

    Raises:
        UserError: whatever is wrong with the input, in one line.
    """
    device = available_device(device)
    samples, scoring = _split_options(None, {**options, "image_size": image_size})
    check_image_size(samples, images)
    real = real_images(images, root, image_size)
    scoring, _ = _settle(scoring, real, True, {})
    if real.stream is None:
        raise UserError(f"{real.name}: statistics already; expected images, or 'lightning-gen reference import'")
    with torch.random.fork_rng(devices=[]), exact_arithmetic():
        judge = Judge.build(scoring, scoring.dialects[0], device, progress or (lambda *_: None))
        judge.reference(real.stream)
    content = describe(real.stream, judge.extractor, scoring.arithmetic)
    entry = None if content is None else on_first_rank(lambda: computed_entry(reference_folder(content)))
    if entry is None:
        raise UserError(
            f"reference: {real.name} under {judge.extractor.name} cannot be kept (see above); expected a network and a cache that can"
        )
    return entry


def _split_options(source: Any, options: dict[str, Any]) -> tuple[Samples, Scoring]:
    """The options of the images and those of their scores."""
    of_samples, of_scoring = ({part.name for part in dataclasses.fields(kind)} for kind in (Samples, Scoring))
    for name in options:
        if name not in of_samples | of_scoring:
            raise UserError(f"{name}: unknown option of score; {did_you_mean(name, of_samples | of_scoring)}")
    samples = Samples(source, **{name: value for name, value in options.items() if name in of_samples})
    return samples, Scoring(**{name: _as_list(name, value) for name, value in options.items() if name in of_scoring})


def _as_list(name: str, value: Any) -> Any:
    """``fid,is`` as ``("fid", "is")`` for the options that are lists; other values as they are."""
    return tuple(part.strip() for part in value.split(",")) if name in LISTS and isinstance(value, str) else value


def available_device(device: torch.device | str) -> torch.device:
    """A device by name.

    Raises:
        UserError: there is no such device on this machine.
    """
    try:
        found = torch.device(device)
        torch.empty(0, device=found)
    except (RuntimeError, AssertionError, NotImplementedError, TypeError) as error:
        raise UserError(f"device: {str(device)!r} cannot be used on this machine ({first_line(error)}); expected cpu, or cuda") from error
    return found


def _network(extractor: Any, device: torch.device) -> Extractor | None:
    """A feature network that is no name."""
    if extractor is None or isinstance(extractor, str | Extractor):
        return extractor if isinstance(extractor, Extractor) else None
    if not callable(extractor):
        raise UserError(f"extractor: expected a name, a callable or an Extractor, got {type(extractor).__name__}")
    return CallableExtractor(extractor, device=device)


def _settle(scoring: Scoring, real: RealImages, compared: bool, claims: Mapping[str, float]) -> tuple[Scoring, str | None]:
    """With an extractor and metrics where nobody named them, and one line on what is missing for a better choice."""
    note = None
    extractor = scoring.extractor or real.extractor
    if extractor is None and real.data is not None:
        choice = choose(real.data, scoring)
        extractor, note = choice.extractor, choice.note
        if extractor is None:
            raise UserError(f"extractor: {note}")
    elif extractor is None and real.stream is not None and not {*claims} & {"fid", "is", "kid"}:
        choice = first_at_hand(ImageDataModule.extractors, scoring)  # images of one's own: as for a data set that names none
        extractor, note = choice.extractor, choice.note
    metrics = scoring.metrics
    if metrics is None:
        if not compared:
            raise UserError("reference: expected real images to compare with, such as CIFAR10:test; only --metrics is needs none")
        metrics = _default_metrics(real)
    if not compared and {*metrics} != {"is"}:
        raise UserError(f"reference: metrics {', '.join(metrics)} compare with real images; expected some, or --metrics is alone")
    if real.num_features is not None and real.network is None and len(scoring.dialects) > 1:
        raise UserError(f"dialect: statistics such as {real.name} are of one dialect; expected one, got {', '.join(scoring.dialects)}")
    metrics = metrics_for(claims, metrics)
    if not real.has_features and compared and (needed := [name for name in metrics if name in ("kid", "prdc", "per_class", "authpct")]):
        raise UserError(f"metrics: {needed[0]} needs the features of the real images; {real.name} has their mean and covariance only")
    return dataclasses.replace(scoring, extractor=extractor or INCEPTION, metrics=metrics), note


def _default_metrics(real: RealImages) -> tuple[str, ...]:
    if real.data is not None:
        return real.data.metrics
    return ("fid", "is", "kid", "prdc") if real.has_features else ("fid", "is")


# The scores.


def _judges(scoring: Scoring, network: Extractor | None, device: torch.device, progress: Progress) -> Iterator[Judge]:
    """One per dialect, each built when it is needed."""
    if network is not None:
        refuse(network.name, {"extractor_weights": scoring.extractor_weights, "layer": scoring.layer})
        for key, value in (*(("dialects", name) for name in scoring.dialects), ("arithmetic", scoring.arithmetic)):
            if (own := getattr(network, key.removesuffix("s"), value)) != value:
                raise UserError(f"{key}: the extractor {network.name!r} was built for {own}; expected that alone, got {value}")
    for name in scoring.dialects:
        yield Judge(network, name, scoring, progress) if network is not None else Judge.build(scoring, name, device, progress)


def _score(
    stream: ImageStream, real: RealImages, judges: Iterator[Judge], protocol: dict[str, Any], claims: Mapping[str, float]
) -> Verdict:
    checks = ImageChecks(stream.name, stream.count)
    verdict = Verdict(stream.name, stream.count, real.name, [], world_size=world_size())
    first: Judge | None = None
    for judge in judges:
        judge.extractor.prepare(stream.shape)
        require_inception(claims, judge.extractor.name, judge.extractor.is_inception)
        _require_same_network(real, judge, stream.shape)
        if not (metrics := judge.own_metrics(judge.scoring.metrics or (), first, stream.shape)):
            continue
        reference = real.stored if real.stream is None else judge.reference(real.stream)
        # The first pass over the images looks at them, too.
        observe = checks.add if first is None else None
        floor = _floor(real, judge, stream.count, reference, metrics)
        verdict.scores.extend(judge.scores(stream, reference, metrics, protocol, floor=floor, observe=observe))
        if first is None:
            first = judge
            verdict.warnings.extend([*checks.warnings(judge.extractor.device), *_warnings(stream, real, judge)])
    verdict.claims.extend(compare(claims, verdict.scores, judge.extractor.name))
    return verdict


def _floor(real: RealImages, judge: Judge, count: int, reference: Reference | None, metrics: tuple[str, ...]) -> Floor | None:
    """The scores of as many real images that are not in the reference, where there are any."""
    held_out = real.held_out(count) if judge.scoring.floor else None
    if held_out is None or real.stream is None:
        return None
    return judge.floor(held_out, real.stream, reference, metrics)


def _require_same_network(real: RealImages, judge: Judge, shape: tuple[int, ...]) -> None:
    """Statistics of one network say nothing of the features of another one."""
    ours = judge.extractor
    if real.num_features is not None and real.num_features != ours.num_features:
        raise UserError(f"reference: {real.name} has {real.num_features} features, extractor {ours.name} has {ours.num_features}")
    if real.extractor not in (None, ours.name):
        raise UserError(f"reference: {real.name} is of extractor {real.extractor}, not of {ours.name}")
    if real.dialect not in (None, judge.dialect_name):
        raise UserError(f"reference: {real.name} is of dialect {real.dialect}, not of {judge.dialect_name}")
    # Images of another size than the network's own are adapted to it, which its protocol for that size says.
    if real.network is not None and real.network not in (ours.protocol, ours.protocol_for(shape)):
        raise UserError(f"reference: {real.name} is of {ours.name} with other weights or another resize; compute it anew")


def _warnings(stream: ImageStream, real: RealImages, judge: Judge) -> list[str]:
    found = [warning] if (warning := format_warning(stream.key, stream.name)) else []
    found += shape_warnings(stream.shape, real.shape, stream.name)
    metrics, extractor = judge.scoring.metrics or (), judge.extractor
    if "fid" in metrics:
        infinity = INCEPTION_NAMES["FD-infinity"] if extractor.is_inception else "FD-infinity"
        debiased = infinity if "fd_infinity" in metrics else None
        found += count_warnings(stream.count, real.protocol.get("count"), extractor.num_features, stream.name, debiased)
    if real.num_features is not None and real.protocol.get("count") is None:
        found.append(f"reference: {real.name} does not say of how many images it is; its own bias is unknown")
    if real.num_features is not None and real.extractor is None:
        found.append(
            f"reference: {real.name} does not say of which network and resize it is; taken for {extractor.name} in dialect "
            f"{judge.dialect_name}{OTHER_RESIZE if extractor.is_inception else ''}"
        )
    return found
