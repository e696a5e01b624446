"""Every feature extractor that torch-fidelity knows (VGG16, CLIP, DINOv2, and those that users register with it), behind one adapter."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import pathlib
import socket
import warnings
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from lightning_gen.errors import UserError
from lightning_gen.metrics.extractors.base import Extraction, Extractor, plain_arithmetic
from lightning_gen.metrics.extractors.inception import as_rgb, require_grey_or_rgb, require_one_of
from lightning_gen.metrics.extractors.weight_files import (
    CONNECTION_SECONDS,
    as_buffer,
    checkpoints_folder,
    file_sha256,
    first_line,
    load_state,
    read_bytes,
    state_sha256,
)


class FidelityExtractor(Extractor):
    """An extractor that is registered with torch-fidelity, by its name there; grey images are repeated to RGB.

    Args:
        name: ``vgg16``, ``clip-vit-b-32``, ``dinov2-vit-l-14``, ..., or a registered name.
        device: where it runs.
        weights: a file; by default what the extractor finds in its cache or downloads.
        layer: one of the features that it provides; by default the one that torch-fidelity takes for FID.
        allow_download: whether missing weights may be downloaded; a user's class decides for itself.
    """

    def __init__(
        self,
        name: str,
        device: torch.device | str = "cpu",
        *,
        weights: str | os.PathLike[str] | None = None,
        layer: str | int | None = None,
        allow_download: bool = True,
    ) -> None:
        self.name = name
        self.device = torch.device(device)
        self.owner = f"extractor {name!r}"
        cls = registered_extractors()[name]
        self.default_layer = cls.get_default_feature_layer_for_metric("fid")
        self.layer = str(layer or self.default_layer)
        require_one_of("layer", self.layer, cls.get_provided_features_list())
        self.micro_batch = 64 if self.device.type == "cuda" else 8
        self.is_theirs = cls.__module__.startswith("torch_fidelity.")
        self.class_path = f"{cls.__module__}.{cls.__qualname__}"
        path = None if weights is None else pathlib.Path(weights).expanduser()
        if path is None and not allow_download:
            self._require_cached()
        self.network, self.weights_sha256 = self._build(cls, path)
        self.network.eval().requires_grad_(False).to(self.device)

    @property
    def protocol(self) -> dict[str, Any]:
        layer = {} if self.layer == self.default_layer else {"layer": self.layer}
        size = getattr(self.network, "INPUT_IMAGE_SIZE", None) or getattr(self.network, "resolution", None)
        # All of torch-fidelity's own extractors resize as TensorFlow 1 did; what a user's class does is its own affair.
        preprocessing = {"resize": f"tf1-bilinear-{size}"} if self.is_theirs else {"preprocessing": self.class_path}
        return {"extractor": self.name, "weights_sha256": self.weights_sha256, **preprocessing, **layer}

    def check_shape(self, data_shape: tuple[int, ...]) -> None:
        require_grey_or_rgb(self.name, data_shape)

    def extract(self, images: Tensor) -> Extraction:
        features = self.network(as_rgb(images))[0]
        return Extraction(features.flatten(1).to(torch.float32), None)

    def _require_cached(self) -> None:
        if not all(path.exists() for path in cached_files(self.name)):
            raise UserError(f"{self.owner}: no weights (downloads are switched off); {self._advice()}")

    def _build(self, cls: Any, path: pathlib.Path | None) -> tuple[nn.Module, str]:
        """The network and the hash of its weights."""
        source, sha256 = (None, None) if path is None else self._source(path)
        with guarded_constructor():
            try:
                network = cls(self.name, [self.layer], feature_extractor_weights_path=source)
            except NotImplementedError as error:
                raise UserError(f"weights: torch-fidelity takes no file for {self.name!r}; {self._advice()}") from error
            except Exception as error:  # whatever the network, the hub or the damage of a file raises
                raise UserError(f"{self.owner}: cannot be built ({first_line(error)}); {self._advice()}") from error
        if sha256 is None:
            file = next(iter(cached_files(self.name)), None)
            sha256 = file_sha256(file) if file is not None and file.is_file() else state_sha256(network)
        return network, sha256

    def _source(self, path: pathlib.Path) -> tuple[Any, str]:
        """What the constructor may be given for a file: torch-fidelity's classes unpickle without care, hence a copy of our own making."""
        content = read_bytes(path, self.owner)
        sha256 = hashlib.sha256(content).hexdigest()
        if not self.is_theirs:
            return str(path), sha256
        if self.name.startswith("clip-"):
            return io.BytesIO(content), sha256  # read by torch.jit.load, which runs nothing
        return as_buffer(load_state(content, path, self.owner)), sha256

    def _advice(self) -> str:
        paths = cached_files(self.name)
        return f"put it at {' and '.join(map(str, paths))}" if paths else "see what the extractor expects of its weights"


def registered_extractors() -> dict[str, Any]:
    """Name -> class of everything that is registered with torch-fidelity."""
    from torch_fidelity.registry import FEATURE_EXTRACTORS_REGISTRY

    return FEATURE_EXTRACTORS_REGISTRY


def cached_files(name: str) -> list[pathlib.Path]:
    """Where torch-fidelity's own extractors keep what they download, the weights first; nothing is known of those of others."""
    from torch_fidelity import feature_extractor_clip, feature_extractor_dinov2
    from torchvision.models import VGG16_Weights

    folder = checkpoints_folder()
    if name == "vgg16":
        return [folder / VGG16_Weights.IMAGENET1K_V1.url.rpartition("/")[2]]
    if name in feature_extractor_clip.MODEL_METADATA:
        return [folder / f"{name}-{feature_extractor_clip.MODEL_METADATA[name]['hash']}.pt"]
    if name in feature_extractor_dinov2.MODEL_METADATA:  # its code comes from the hub, too
        return [folder / f"{feature_extractor_dinov2.MODEL_METADATA[name]}_pretrain.pth", folder.parent / "facebookresearch_dinov2_main"]
    return []


@contextlib.contextmanager
def guarded_constructor() -> Iterator[None]:
    """Float32 and the caller's random state whatever a constructor draws, no endless wait for a connection, no variable that it sets."""
    environment, timeout = dict(os.environ), socket.getdefaulttimeout()
    socket.setdefaulttimeout(CONNECTION_SECONDS)
    try:
        with torch.random.fork_rng(devices=[]), plain_arithmetic("cpu"), warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # torch's, of the TorchScript that CLIP's weights are in
            yield
    finally:
        socket.setdefaulttimeout(timeout)
        for name in set(os.environ) - set(environment):
            del os.environ[name]
