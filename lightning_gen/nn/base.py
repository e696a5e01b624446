"""What the shared vocabularies agree on: encoders, decoders, and how a label enters a network."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from lightning_gen.errors import UserError

ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "tanh": nn.Tanh, "silu": nn.SiLU}
Activation = Literal["relu", "tanh", "silu"]


class LabelKind(NamedTuple):
    """What labels look like: so many classes ``(B,)``, or so many binary attributes ``(B, A)``; both zero when there are none."""

    num_classes: int = 0
    num_attributes: int = 0


class LabelEmbedding(nn.Module):
    """Labels as vectors: one learned vector per class, or a learned linear map of the attributes.

    Args:
        kind: what the labels look like.
        features: length F of the vectors; 0 without labels.
    """

    def __init__(self, kind: LabelKind, features: int = 32) -> None:
        super().__init__()
        if any(kind) and features < 1:
            raise UserError(f"label_features: expected at least 1, got {features}")
        self.features = features if any(kind) else 0
        self.by_class = nn.Embedding(kind.num_classes, features) if kind.num_classes else None
        self.by_attribute = nn.Linear(kind.num_attributes, features) if kind.num_attributes and not kind.num_classes else None

    def forward(self, labels: Tensor) -> Tensor:
        """The vectors of labels, ``(B, F)``."""
        if self.by_class is not None:
            return self.by_class(labels)
        assert self.by_attribute is not None
        # In full precision, since a density's parameters may be such vectors too.
        with torch.autocast(labels.device.type, enabled=False):
            return self.by_attribute(labels.to(self.by_attribute.weight.dtype))

    def shortened(self) -> LabelEmbedding:
        """Itself, its vectors divided by sqrt(F): at first about as long as one-hot labels. Beside z in a GAN's generator longer ones drown
        z, and the generator makes one image per class."""
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.mul_(self.features**-0.5)
        return self

    def append(self, x: Tensor, labels: Tensor | None) -> Tensor:
        """x ``(B, D)`` with the embedded labels behind it: ``(B, D + F)``; x itself without labels."""
        return torch.cat([x, self(labels)], dim=1) if self.features else x


class Encoder(nn.Module):
    """Images or vectors to features: ``(B, *data_shape) -> (B, out_features)``.

    Args:
        data_shape: shape of one input.
        out_features: length of the output.
        labels: what the labels that condition it look like.
    """

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        """Features of x."""
        raise NotImplementedError(f"{type(self).__name__} has to implement forward")


def last_hidden_layer(encoder: Encoder, x: Tensor) -> Tensor:
    """What the last linear layer of an encoder is given when it looks at x, flat: ``(B, F)``."""
    seen: list[Tensor] = []
    last = [layer for layer in encoder.modules() if isinstance(layer, nn.Linear)][-1]
    handle = last.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].flatten(1)))
    try:
        encoder(x)
    finally:
        handle.remove()
    return seen[-1]


class Decoder(nn.Module):
    """Features to images or vectors: ``(B, in_features) -> (B, *out_shape)``.

    Args:
        in_features: length of the input.
        out_shape: shape of one output.
        labels: what the labels that condition it look like.
    """

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """What z stands for."""
        raise NotImplementedError(f"{type(self).__name__} has to implement forward")
