"""Real images to compare with: statistics and features, computed once and kept on disk under a fingerprint of all that defines them."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import secrets
import shutil
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from lightning_gen import __version__
from lightning_gen.checkpoint import sha256
from lightning_gen.distributed import broadcast_from_first, on_first_rank, rank, say
from lightning_gen.errors import UserError
from lightning_gen.evaluation.arithmetic import one_thread
from lightning_gen.evaluation.cache import cache_is_writable, cache_root, fingerprint, work_folder
from lightning_gen.evaluation.extraction import FeatureSet, Report, extract
from lightning_gen.evaluation.streams import ImageStream
from lightning_gen.metrics.accumulators import Arithmetic, GroupSums
from lightning_gen.metrics.extractors.base import Extractor
from lightning_gen.metrics.frechet import GaussianStatistics, symmetric_root
from lightning_gen.metrics.rows import Rows
from lightning_gen.metrics.tables import FileTable

CARD = "card.json"
STATISTICS = "statistics.npz"
FEATURES = "features.f32"
LABELS = "labels.npy"

Card = dict[str, Any]


@dataclass(frozen=True)
class Reference:
    """Real images as scores see them; only rank 0 has one.

    Args:
        name: in words.
        gaussian: of their features, with the root of the covariance where N > d.
        card: what defines it, and the hashes of its files.
        features: ``(N, d)``; None where only statistics are known.
        labels: classes ``(N,)``; None where there are none.
        class_names: the name of each label.
    """

    name: str
    gaussian: GaussianStatistics
    card: Card
    features: Rows | None = field(default=None, repr=False)
    labels: np.ndarray | None = field(default=None, repr=False)
    class_names: tuple[str, ...] | None = None


def reference_of(stream: ImageStream, extractor: Extractor, arithmetic: Arithmetic, report: Report) -> Reference | None:
    """The reference of a stream of real images, from the disk or computed by all processes and kept; None but on rank 0."""
    extractor.prepare(stream.shape)
    content = describe(stream, extractor, arithmetic)
    if content is None or not cache_is_writable():
        return on_rank_0_only(_from_features(extract(stream, extractor, None, report), {}, arithmetic, extractor.device))
    folder = reference_folder(content)
    held = _held(folder)
    if not broadcast_from_first(held is not None):
        with work_folder(folder.name) as work:
            features = extract(stream, extractor, work, report)
            on_first_rank(lambda: save(_from_features(features, content, arithmetic, extractor.device), work, folder))
        held = _held(folder)
        if not broadcast_from_first(held is not None):
            raise UserError(f"{folder}: what was written there cannot be read back")
    return held


def _held(folder: pathlib.Path) -> Reference | None:
    """What is kept, on rank 0; what goes wrong there every rank hears of."""
    found: list[Reference | None] = [None]

    def attempt() -> None:
        found[0] = load(folder)

    on_first_rank(attempt)
    return found[0]


def describe(stream: ImageStream, extractor: Extractor, arithmetic: Arithmetic) -> Card | None:
    """What defines the features of a stream, as plain data; None when the images have no identity.

    A dialect shows in the network's resize alone.
    """
    if stream.key is None or not getattr(extractor, "has_identity", True):
        return None
    return {
        "images": stream.key,
        "shape": list(stream.shape),
        "count": stream.count,
        "network": extractor.protocol_for(stream.shape),
        "arithmetic": arithmetic,
        "device": extractor.device.type,
    }


def reference_folder(content: Card) -> pathlib.Path:
    """Where a reference is kept."""
    return cache_root() / "references" / fingerprint(content)


def on_rank_0_only(reference: Reference) -> Reference | None:
    """The reference on rank 0, None elsewhere."""
    return reference if rank() == 0 else None


def _from_features(features: FeatureSet, content: Card, arithmetic: Arithmetic, device: torch.device) -> Reference:
    with one_thread():
        gaussian = GroupSums(features.features, features.name, arithmetic, device).gaussian()
        if gaussian.rows is None:
            gaussian = dataclasses.replace(gaussian, root=symmetric_root(gaussian.covariance_matrix()))
    names = None if features.class_names is None else [*features.class_names]
    sizes = {"count": features.count, "num_features": features.features.shape[1]}
    card = {"name": features.name, "content": content, **sizes, "class_names": names}
    return Reference(features.name, gaussian, card, features.features, features.labels, features.class_names)


# On disk: a folder that appears complete, by a rename.


def save(reference: Reference, work: pathlib.Path, folder: pathlib.Path) -> None:
    """Keep a reference whose features lie in ``work``; when another process was faster, its folder stays.

    Raises:
        UserError: the folder cannot be written to, or the disk is full; nothing of it is left behind.
    """
    partial = folder.with_name(f".partial-{secrets.token_hex(6)}")
    try:
        partial.mkdir(parents=True)
        _write(reference, partial)
        os.replace(work / FEATURES, partial / FEATURES)
        files = {file.name: sha256(file) for file in sorted(partial.iterdir())}
        card = {**reference.card, "files": files, "created_with": {"lightning_gen": __version__, "torch": str(torch.__version__)}}
        (partial / CARD).write_text(json.dumps(card, indent=2))
        if not folder.exists():
            os.replace(partial, folder)
    except OSError as error:
        if not folder.is_dir():  # otherwise somebody else's rename came first
            raise UserError(f"{folder}: reference statistics cannot be written ({error.strerror or error})") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _write(reference: Reference, folder: pathlib.Path) -> None:
    gaussian = reference.gaussian
    arrays: dict[str, Any] = {"count": np.array(gaussian.count), "mu": gaussian.mean.numpy()}
    if gaussian.rows is None:
        arrays |= {"sigma": gaussian.covariance_matrix().numpy(), "root": gaussian.symmetric_root().numpy()}
    np.savez(folder / STATISTICS, **arrays)
    if reference.labels is not None:
        np.save(folder / LABELS, reference.labels)


def load(folder: pathlib.Path) -> Reference | None:
    """A kept reference; None when there is none, or when a file of it is damaged, which is said in one line."""
    if not folder.is_dir():
        return None
    try:
        card = read_card(folder)
        for name, expected in card["files"].items():
            if sha256(folder / name) != expected:
                raise ValueError(f"{name} does not have its SHA-256")
        return _read(folder, card)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        say(f"{folder}: damaged ({error}); computed anew")
        shutil.rmtree(folder, ignore_errors=True)
        return None


def read_card(folder: pathlib.Path) -> Card:
    """The card of a kept reference; raises OSError or ValueError."""
    card = json.loads((folder / CARD).read_text())
    if not isinstance(card, dict):
        raise ValueError(f"{CARD} is no object")
    return card


def _read(folder: pathlib.Path, card: Card) -> Reference:
    features = FileTable(folder / FEATURES, (card["count"], card["num_features"]))
    with np.load(folder / STATISTICS, allow_pickle=False) as arrays:
        mean = torch.from_numpy(arrays["mu"])
        if "root" in arrays:
            # The covariance is the root's square: not read, since every matrix of 2048 x 2048 takes 34 MB.
            gaussian = GaussianStatistics(int(arrays["count"]), mean, None, root=torch.from_numpy(arrays["root"]))
        else:
            rows = torch.from_numpy(features[:]).to(torch.float64)
            gaussian = GaussianStatistics(int(arrays["count"]), mean, None, rows=rows)
    labels = np.load(folder / LABELS, allow_pickle=False) if (folder / LABELS).is_file() else None
    names = None if card["class_names"] is None else tuple(card["class_names"])
    return Reference(card["name"], gaussian, card, features, labels, names)
