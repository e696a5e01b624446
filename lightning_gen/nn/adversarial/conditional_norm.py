"""How labels enter the networks of a GAN of images: conditional batch normalisation, and projection."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lightning_gen.nn.base import LabelEmbedding, LabelKind


class ConditionalBatchNorm2d(nn.Module):
    r"""Batch normalisation whose gain and bias belong to the label (Dumoulin et al., 2017, arXiv:1610.07629); plain without labels.

    .. math:: \gamma_y \frac{x - \mu}{\sigma} + \beta_y

    Args:
        channels: of x.
        labels: what the labels look like; each starts with gain 1 and bias 0.
    """

    def __init__(self, channels: int, labels: LabelKind = LabelKind()) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=not any(labels))
        self.gain = zero_embedding(labels, channels) if any(labels) else None
        self.bias = zero_embedding(labels, channels) if any(labels) else None

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        """x ``(B, C, H, W)`` normalised."""
        x = self.norm(x)
        if self.gain is None or self.bias is None:
            return x
        return torch.addcmul(self.bias(labels)[..., None, None], x, 1 + self.gain(labels)[..., None, None])


def zero_embedding(labels: LabelKind, features: int) -> LabelEmbedding:
    """Vectors of labels that are all zero at first."""
    embedding = LabelEmbedding(labels, features)
    for parameter in embedding.parameters():
        nn.init.zeros_(parameter)
    return embedding


class Projection(nn.Module):
    r"""The part of a logit that knows the label: the inner product of features and the label's vector (Miyato & Koyama, 2018,
    arXiv:1802.05637).

    .. math:: y^\top V \phi(x)

    Args:
        num_features: length of the features.
        labels: what the labels look like; 0 is added without any.
    """

    def __init__(self, num_features: int, labels: LabelKind) -> None:
        super().__init__()
        self.embedding = LabelEmbedding(labels, num_features)
        for parameter in self.embedding.parameters():
            (nn.init.xavier_uniform_ if parameter.ndim > 1 else nn.init.zeros_)(parameter)

    def forward(self, features: Tensor, labels: Tensor | None) -> Tensor | float:
        """``(B, 1)``."""
        return (self.embedding(labels) * features).sum(1, keepdim=True) if self.embedding.features else 0.0
