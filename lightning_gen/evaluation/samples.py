"""Where the images to score come from, opened: files, arrays, generators, and models of ours."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

from lightning_gen.checkpoint import find_checkpoint, load_model, sha256
from lightning_gen.errors import UserError
from lightning_gen.evaluation.real_images import takes_image_size
from lightning_gen.evaluation.sources import Source, image_stream, is_model
from lightning_gen.evaluation.standing import standing_statistics
from lightning_gen.evaluation.streams import ImageStream, model_stream
from lightning_gen.images import is_image
from lightning_gen.models.base import GenerativeModel, Weights, check_weights
from lightning_gen.models.capabilities import SupportsSampling


@dataclass(frozen=True)
class Samples:
    """Where the images to score come from.

    Args:
        source: see :func:`~lightning_gen.evaluation.sources.image_stream`; also a run folder, a checkpoint or a model of ours.
        num_samples: N; None for all images at hand. Generators and models need it.
        seed: keys what a generator or a model draws; 0 by default.
        image_size: pixels a side to which the pictures of folders, and data sets that can, are cropped and resized.
        latent_dim: length of a TorchScript generator's z.
        weights: a model's averaged networks (``ema``, the default where there are any) or the ``live`` ones.
        standing_statistics: batches of samples from which a model's BatchNorm statistics are computed anew; 0 to keep them.
    """

    source: Source | GenerativeModel
    num_samples: int | None = None
    seed: int | None = None
    image_size: int | None = None
    latent_dim: int | None = None
    weights: Weights | None = None
    standing_statistics: int = 0

    def __post_init__(self) -> None:
        if self.standing_statistics < 0:
            raise UserError(f"standing_statistics: expected at least 0, got {self.standing_statistics}")
        if self.weights is not None:
            check_weights(self.weights)


def check_image_size(samples: Samples, reference: Any) -> None:
    """Refuse a size that neither the samples nor their reference can be given."""
    if samples.image_size is not None and not _is_folder(samples.source) and not takes_image_size(reference):
        raise UserError(
            f"image_size: applies to a folder of images, or to a data set that resizes, as samples or reference; "
            f"expected nothing here, got {samples.image_size!r}"
        )


def _is_folder(source: Any) -> bool:
    return isinstance(source, str | os.PathLike) and os.path.isdir(source)


@contextlib.contextmanager
def opened(samples: Samples, device: torch.device) -> Iterator[tuple[ImageStream, dict[str, Any]]]:
    """The stream of a source, and what of it belongs to the protocol of its scores."""
    source = samples.source
    if isinstance(source, GenerativeModel) or is_model(source):
        with _opened_model(samples, device) as stream:
            standing_part = {"standing_statistics": samples.standing_statistics} if samples.standing_statistics else {}
            yield stream, {"num_samples": stream.count, **standing_part}
        return
    for key, value in (("weights", samples.weights), ("standing_statistics", samples.standing_statistics)):
        if value:
            raise UserError(f"{key}: applies to a run, checkpoint or model of ours only; expected nothing here, got {value!r}")
    size = samples.image_size if _is_folder(source) else None
    stream = image_stream(
        source, num_samples=samples.num_samples, seed=samples.seed, image_size=size, latent_dim=samples.latent_dim, device=device
    )
    yield stream, {"num_samples": stream.count} | ({"resized_samples": size} if size else {})


@contextlib.contextmanager
def _opened_model(samples: Samples, device: torch.device) -> Iterator[ImageStream]:
    if samples.latent_dim is not None:
        raise UserError(f"latent_dim: applies to a TorchScript file only; expected nothing here, got {samples.latent_dim!r}")
    source, key = samples.source, None
    if isinstance(source, GenerativeModel):
        model = source
    else:
        path = find_checkpoint(str(source))
        model = load_model(path).to(device)
        key = {"checkpoint": sha256(path), "weights": samples.weights or "ema", "standing_statistics": samples.standing_statistics}
        key["options"] = model.answer_options()
    if not isinstance(model, SupportsSampling) or not is_image(model.data_shape):
        raise UserError(f"{type(model).__name__}: cannot sample images, hence has nothing to score")
    if samples.num_samples is None or samples.num_samples < 2:
        raise UserError(f"num_samples: a model has no number of images of its own; expected 2 or more, got {samples.num_samples or 'none'}")
    seed = samples.seed or 0
    with model.inference(samples.weights or "ema"), standing_statistics(model, samples.standing_statistics, seed):
        yield model_stream(model, samples.num_samples, seed, key)
