"""Small classifiers of our own, trained on the data they score: the honest network for images that Inception has never seen."""

from __future__ import annotations

import copy
import hashlib
import json
import pathlib
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from lightning_gen import images as pixels
from lightning_gen.errors import UserError, did_you_mean
from lightning_gen.metrics.extractors.base import Extraction, Extractor

WEIGHTS = pathlib.Path(__file__).parent.parent / "weights"
LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in a grey value (ITU-R BT.601), as PIL takes them."""


class SmallClassifier(nn.Module):
    """A small convolutional classifier; its features are the activations before the last layer.

    Args:
        data_shape: ``(C, H, W)`` of the images it was trained on.
        num_classes: K.
        width: channels of the first convolution.
        num_features: d.
    """

    def __init__(self, data_shape: tuple[int, int, int], num_classes: int = 10, width: int = 16, num_features: int = 32) -> None:
        super().__init__()
        channels, height, breadth = data_shape
        self.layers = nn.Sequential(
            *(nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, width, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(width, 2 * width, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()),
            *(nn.Dropout(0.25), nn.Linear(2 * width * (height // 4) * (breadth // 4), num_features), nn.SiLU()),
        )
        self.head = nn.Linear(num_features, num_classes)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Images in [-1, 1] to features ``(B, d)`` and logits ``(B, K)``."""
        features = self.layers(x)
        return features, self.head(features)


class ConvolutionBlock(nn.Module):
    """Convolution, BatchNorm, ReLU; with the input added where the shape stays.

    Args:
        in_channels, out_channels: channels.
        stride: 1, or 2 to halve the size.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(out_channels)
        self.is_residual = in_channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        """``(B, C, H, W)`` to ``(B, C', H / stride, W / stride)``."""
        y = torch.relu(self.norm(self.convolution(x)))
        return x + y if self.is_residual else y


class PhotoClassifier(nn.Module):
    """A small residual classifier of photographs (after He et al., 2015, arXiv:1512.03385); its features are the pooled last activations.

    Args:
        data_shape: ``(C, H, W)`` of the images it was trained on.
        num_classes: K.
        width: channels of the first convolution.
        num_features: d.
    """

    def __init__(self, data_shape: tuple[int, int, int], num_classes: int = 10, width: int = 32, num_features: int = 128) -> None:
        super().__init__()
        middle = 2 * width
        self.layers = nn.Sequential(
            *(ConvolutionBlock(data_shape[0], width), ConvolutionBlock(width, middle, 2), ConvolutionBlock(middle, middle)),
            *(ConvolutionBlock(middle, num_features, 2), ConvolutionBlock(num_features, num_features)),
            ConvolutionBlock(num_features, num_features),
        )
        self.head = nn.Linear(num_features, num_classes)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Images in [-1, 1] to features ``(B, d)`` and logits ``(B, K)``."""
        features = self.layers(x).mean((2, 3))
        return features, self.head(features)


NETWORKS: dict[str, type[nn.Module]] = {network.__name__: network for network in (SmallClassifier, PhotoClassifier)}
"""What a card may name as its network."""


class InDomainExtractor(Extractor):
    """A classifier whose weights are in the package, by name.

    Images of its native shape reach it as they are. Others are adapted, and :meth:`protocol_for` says so: grey to RGB by repetition, RGB
    to grey by luma, other sizes by antialiased bilinear interpolation to the native size.

    Args:
        name: one of :func:`extractor_names`.
        device: where it runs.
    """

    is_thread_safe = True
    micro_batch = 32

    def __init__(self, name: str, device: torch.device | str = "cpu") -> None:
        self.card = read_card(name)
        self.name = name
        self.device = torch.device(device)
        self.data_shape: tuple[int, ...] = tuple(self.card["data_shape"])
        self.num_features = self.card["num_features"]
        self.num_classes = self.card["num_classes"]
        self.network = copy.deepcopy(_network(name)).to(device)  # not the cached one, which other extractors use elsewhere

    @property
    def protocol(self) -> dict[str, Any]:
        return self.protocol_for(self.data_shape)

    def protocol_for(self, data_shape: tuple[int, ...]) -> dict[str, Any]:
        self.check_shape(data_shape)
        native, given = self.data_shape, tuple(data_shape)
        height, breadth = native[1:]
        size = f"{height}" if height == breadth else f"{height}x{breadth}"
        resize = "none" if given[1:] == native[1:] else f"antialias-bilinear-{size}"
        channels = {} if given[0] == native[0] else {"channels": "luma" if given[0] == 3 else "repeat"}
        return {"extractor": self.name, "weights_sha256": self.card["sha256"], "resize": resize, **channels}

    def check_shape(self, data_shape: tuple[int, ...]) -> None:
        if len(data_shape) != 3 or data_shape[0] not in {1, 3, self.data_shape[0]}:
            raise UserError(f"extractor {self.name!r}: expected images of 1 or 3 channels, got shape {list(data_shape)}")

    def extract(self, images: Tensor) -> Extraction:
        return Extraction(*self.network(adapt(images, self.data_shape)))


def adapt(images: Tensor, data_shape: tuple[int, ...]) -> Tensor:
    """uint8 images of any size, grey or RGB, to float32 in [-1, 1] of ``data_shape``; images that have that shape keep their pixels."""
    if tuple(images.shape[1:]) == tuple(data_shape):
        return pixels.to_symmetric(images, torch.float32)
    x = images.to(torch.float32)
    if x.shape[1] == 3 and data_shape[0] == 1:
        x = (x * x.new_tensor(LUMA).view(3, 1, 1)).sum(1, keepdim=True)
    elif x.shape[1] == 1:
        x = x.expand(-1, data_shape[0], -1, -1)
    if x.shape[2:] != tuple(data_shape[1:]):
        x = interpolate(x, size=tuple(data_shape[1:]), mode="bilinear", align_corners=False, antialias=True)
    return x / 127.5 - 1


def extractor_names() -> list[str]:
    """The extractors whose weights are in the package."""
    return sorted(path.stem for path in WEIGHTS.glob("*.json"))


@cache
def read_card(name: str) -> dict[str, Any]:
    """The description of an extractor: shape, sizes, weights hash, and the accuracy that its training script measured."""
    path = WEIGHTS / f"{name}.json"
    if not path.is_file():
        raise UserError(f"extractor {name!r}: unknown; {did_you_mean(name, extractor_names())}")
    return json.loads(path.read_text())


def build_network(card: dict[str, Any]) -> nn.Module:
    """The network that a card describes, in float32, with random weights."""
    network = NETWORKS[card["network"]]
    # In float32 before weights are loaded: under another default type they would be rounded.
    return network(tuple(card["data_shape"]), card["num_classes"], card["width"], card["num_features"]).float()


@cache
def _network(name: str) -> nn.Module:
    card = read_card(name)
    path = WEIGHTS / f"{name}.pt"
    if hashlib.sha256(path.read_bytes()).hexdigest() != card["sha256"]:
        raise UserError(f"extractor {name!r}: {path.name} does not have the SHA-256 of its card; reinstall the package")
    network = build_network(card)
    network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return network.eval().requires_grad_(False)
