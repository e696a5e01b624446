r"""Inception-v3 as TensorFlow's graph of 2015-12-05 has it, whose features define FID, IS and KID (Heusel et al., 2017, arXiv:1706.08500).

The architecture is torch-fidelity's. ``reference`` arithmetic runs it as it is. ``fast`` arithmetic computes the same function with every
BatchNorm folded into its convolution, channels last in memory, and the resize as two matrix products :math:`A_H X A_W^\top`; features
differ by a few float32 roundings, about 4e-6 relative.

Deviation between dialects: ``tf1`` resizes to 299 x 299 bilinearly on TensorFlow 1's asymmetric grid (source = target x in / out, without
antialiasing), as torch-fidelity and torchmetrics up to 1.7 do; ``torchmetrics`` on the half-pixel grid with antialiasing, as 1.8 and later.
"""

from __future__ import annotations

import os
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, interpolate

from lightning_gen.errors import UserError, did_you_mean
from lightning_gen.metrics.extractors.base import Extraction, Extractor, plain_arithmetic
from lightning_gen.metrics.extractors.inception_weights import OFFICIAL_SHA256, OWNER, inception_weights, load_inception
from lightning_gen.metrics.extractors.weight_files import as_buffer, first_line

Dialect = Literal["tf1", "torchmetrics"]
Arithmetic = Literal["fast", "reference"]

SIZE = 299
STAGES: dict[str, tuple[str, ...]] = {
    "64": ("Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3", "MaxPool_1"),
    "192": ("Conv2d_3b_1x1", "Conv2d_4a_3x3", "MaxPool_2"),
    "768": ("Mixed_5b", "Mixed_5c", "Mixed_5d", "Mixed_6a", "Mixed_6b", "Mixed_6c", "Mixed_6d", "Mixed_6e"),
    "2048": ("Mixed_7a", "Mixed_7b", "Mixed_7c"),
}
"""Which modules of torch-fidelity's network lead to which layer of features."""
DEFAULT_LAYER = "2048"
NUM_CLASSES = 1008


class InceptionV3TF(Extractor):
    """torch-fidelity's Inception-v3: pooled features of one layer and, for the last layer, the logits without their bias.

    Images of any size are resized to 299 x 299; grey images are repeated to RGB.

    Args:
        device: where it runs.
        weights: a file; by default the one that :func:`~lightning_gen.metrics.extractors.inception_weights.inception_weights` finds.
        dialect: which resize.
        arithmetic: ``fast``, or ``reference`` for torch-fidelity's own operations, bit for bit.
        layer: ``64``, ``192``, ``768`` or ``2048``: the number of features; earlier layers cost less.
        allow_download: whether missing weights may be downloaded.
    """

    is_thread_safe = True

    def __init__(
        self,
        device: torch.device | str = "cpu",
        *,
        weights: str | os.PathLike[str] | None = None,
        dialect: Dialect = "tf1",
        arithmetic: Arithmetic = "fast",
        layer: str | int | None = None,
        allow_download: bool = True,
    ) -> None:
        require_one_of("dialect", dialect, get_args(Dialect))
        require_one_of("arithmetic", arithmetic, get_args(Arithmetic))
        self.layer = str(layer or DEFAULT_LAYER)
        require_one_of("layer", self.layer, STAGES)
        self.device = torch.device(device)
        self.dialect = dialect
        self.arithmetic = arithmetic
        state, self.weights_sha256 = load_inception(inception_weights(weights, allow_download))
        is_last = self.layer == DEFAULT_LAYER
        self.is_inception = is_last and self.weights_sha256 == OFFICIAL_SHA256
        self.name = self._name()
        self.num_features = int(self.layer)
        self.num_classes = NUM_CLASSES if is_last else 0
        self.micro_batch = 64 if self.device.type == "cuda" else 8
        self.network = build_network(state, self.layer)
        if arithmetic == "fast":
            fold_batch_norm(self.network)
            self.network.to(memory_format=torch.channels_last)
        self.network.to(self.device)
        self._matrices: dict[int, Tensor] = {}

    def _name(self) -> str:
        own = "" if self.weights_sha256 == OFFICIAL_SHA256 else f":{self.weights_sha256[:8]}"
        return f"inception-v3-tf{own}" + ("" if self.layer == DEFAULT_LAYER else f"@{self.layer}")

    @property
    def protocol(self) -> dict[str, Any]:
        resize = f"{'tf1' if self.dialect == 'tf1' else 'antialias'}-bilinear-{SIZE}"
        layer = {} if self.layer == DEFAULT_LAYER else {"layer": self.layer}
        return {"extractor": self.name, "weights_sha256": self.weights_sha256, "resize": resize, **layer}

    def check_shape(self, data_shape: tuple[int, ...]) -> None:
        require_grey_or_rgb(self.name, data_shape)

    def extract(self, images: Tensor) -> Extraction:
        images = as_rgb(images)
        if self.arithmetic == "reference" and self.dialect == "tf1":
            features, *logits = self.network(images)
            return Extraction(features, logits[0] if logits else None)
        return self._forward(self._resized(images))

    def _resized(self, images: Tensor) -> Tensor:
        """uint8 to the network's float32 ``(B, 3, 299, 299)`` in [-1, 1)."""
        if self.arithmetic == "reference":
            return (resize_antialiased(images.to(torch.float32), (SIZE, SIZE)) - 128) / 128
        x = (images.to(torch.float32) - 128) / 128  # exact, and the rows of a resize sum to one: the order does not matter
        height, width = x.shape[2:]
        x = x if height == SIZE else self._matrix(height) @ x
        x = x if width == SIZE else x @ self._matrix(width).T
        return x.contiguous(memory_format=torch.channels_last)

    def _matrix(self, size: int) -> Tensor:
        """The resize of ``size`` pixels as a matrix ``(299, size)``: what it makes of the unit vectors."""
        if size not in self._matrices:
            resize = resize_tf1 if self.dialect == "tf1" else resize_antialiased
            self._matrices[size] = resize(torch.eye(size)[None, None], (SIZE, size))[0, 0].to(self.device)
        return self._matrices[size]

    def _forward(self, x: Tensor) -> Extraction:
        for layer, modules in STAGES.items():
            for module in modules:
                x = getattr(self.network, module)(x)
            if layer == self.layer:
                break
        features = adaptive_avg_pool2d(x, 1).flatten(1)
        head = self.network.get_parameter("fc.weight")
        return Extraction(features, features.mm(head.T) if self.num_classes else None)


def resize_tf1(x: Tensor, size: tuple[int, int]) -> Tensor:
    """TensorFlow 1's bilinear resize, by torch-fidelity."""
    from torch_fidelity.interpolate_compat_tensorflow import interpolate_bilinear_2d_like_tensorflow1x

    return interpolate_bilinear_2d_like_tensorflow1x(x, size=size, align_corners=False)


def resize_antialiased(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear resize on the half-pixel grid with antialiasing, as torchmetrics from 1.8 on."""
    return interpolate(x, size=size, mode="bilinear", align_corners=False, antialias=True)


def build_network(state: dict[str, Tensor], layer: str) -> nn.Module:
    """torch-fidelity's network for a layer of features (and the unbiased logits, for the last one) with these weights."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    class Unloaded(FeatureExtractorInceptionV3):
        def load_state_dict(self, state_dict: Any, *arguments: Any, **options: Any) -> Any:
            """Nothing: the constructor would unpickle a file without care; the weights come afterwards."""

    outputs = [layer, "logits_unbiased"] if layer == DEFAULT_LAYER else [layer]
    with torch.device("meta"):  # no weights are drawn, so nobody's random state moves
        network = Unloaded("inception-v3-compat", outputs, feature_extractor_weights_path=as_buffer({}))
    try:
        nn.Module.load_state_dict(network, state, assign=True)
    except RuntimeError as error:
        raise UserError(f"{OWNER}: the weights are not those of torch-fidelity's Inception ({first_line(error)})") from error
    return network.to(torch.float32).eval().requires_grad_(False)


def fold_batch_norm(network: nn.Module) -> None:
    """Fold every BatchNorm of the network's convolution blocks into the convolution before it, in place."""
    with plain_arithmetic("cpu"):
        for block in list(network.modules()):
            convolution, norm = getattr(block, "conv", None), getattr(block, "bn", None)
            if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                block.conv = nn.utils.fuse_conv_bn_eval(convolution, norm)
                block.bn = nn.Identity()
    network.requires_grad_(False)


def as_rgb(images: Tensor) -> Tensor:
    """Grey images repeated to three channels."""
    return images.expand(-1, 3, -1, -1) if images.shape[1] == 1 else images


def require_grey_or_rgb(name: str, data_shape: tuple[int, ...]) -> None:
    """Refuse images ``(C, H, W)`` that are neither grey nor RGB."""
    if len(data_shape) != 3 or data_shape[0] not in (1, 3):
        raise UserError(f"extractor {name!r}: expected images of 1 or 3 channels, got shape {list(data_shape)}")


def require_one_of(key: str, value: Any, options: Any) -> None:
    """Refuse an option's value that is none of those offered."""
    if value not in options:
        raise UserError(f"{key}: unknown value {value!r}; {did_you_mean(str(value), options)}")
