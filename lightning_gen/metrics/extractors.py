"""Networks that turn images into features.

FID and IS are the names of the Inception-v3 network's scores; every other extractor is named in its scores.
"""

from __future__ import annotations

import copy
import hashlib
import json
import pathlib
from functools import cache

import torch
from torch import Tensor, nn

from lightning_gen import images as pixels
from lightning_gen.errors import UserError, did_you_mean

WEIGHTS = pathlib.Path(__file__).parent / "weights"


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


class Extractor:
    """An in-domain feature network with its weights, by name; uint8 images in, features and log class probabilities out.

    Args:
        name: one of :func:`extractor_names`.
        device: where it runs.
    """

    def __init__(self, name: str, device: torch.device | str = "cpu") -> None:
        self.card = read_card(name)
        self.name = name
        self.device = torch.device(device)
        self.data_shape = tuple(self.card["data_shape"])
        self.num_features = self.card["num_features"]
        self.num_classes = self.card["num_classes"]
        self.network = copy.deepcopy(_network(name)).to(device)  # not the cached one, which other extractors use elsewhere

    @property
    def protocol(self) -> dict[str, str]:
        """What of the extractor defines the question."""
        return {"extractor": self.name, "weights_sha256": self.card["sha256"], "resize": "none"}

    def __call__(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """uint8 ``(B, C, H, W)`` to features ``(B, d)`` and log class probabilities ``(B, K)``."""
        if tuple(images.shape[1:]) != self.data_shape:
            raise UserError(f"extractor {self.name!r} takes images {list(self.data_shape)}, got {list(images.shape[1:])}")
        with torch.no_grad(), torch.autocast(images.device.type, enabled=False):
            features, logits = self.network(pixels.to_symmetric(images, torch.float32))
        return features, logits.log_softmax(1)


def extractor_names() -> list[str]:
    """The extractors whose weights are in the package."""
    return sorted(path.stem for path in WEIGHTS.glob("*.json"))


@cache
def read_card(name: str) -> dict:
    """The description of an extractor: shape, sizes, weights hash, and the accuracy that its training script measured."""
    path = WEIGHTS / f"{name}.json"
    if not path.is_file():
        raise UserError(f"extractor {name!r}: unknown; {did_you_mean(name, extractor_names())}")
    return json.loads(path.read_text())


@cache
def _network(name: str) -> SmallClassifier:
    card = read_card(name)
    path = WEIGHTS / f"{name}.pt"
    if hashlib.sha256(path.read_bytes()).hexdigest() != card["sha256"]:
        raise UserError(f"extractor {name!r}: {path.name} does not have the SHA-256 of its card; reinstall the package")
    # In float32 before the weights are loaded: under another default type they would be rounded.
    network = SmallClassifier(tuple(card["data_shape"]), card["num_classes"], card["width"], card["num_features"]).float()
    network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return network.eval().requires_grad_(False)
