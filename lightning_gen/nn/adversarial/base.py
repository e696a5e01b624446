"""What the networks of every GAN agree on: a generator of images from z, and a discriminator that shows what its logit is made of."""

from __future__ import annotations

from typing import Literal, NamedTuple

from torch import Tensor, nn
from torch.nn.utils.parametrizations import _SpectralNorm, spectral_norm

from lightning_gen.errors import UserError
from lightning_gen.nn.adversarial.conditional_norm import ConditionalBatchNorm2d
from lightning_gen.nn.base import LabelKind

WITH_WEIGHTS = (nn.Linear, nn.Embedding, nn.Conv2d, nn.ConvTranspose2d)


Normalization = Literal["batch", "layer", "none"]


def norm_layer(kind: Normalization, channels: int) -> nn.Module:
    """A layer that normalises: over the batch, over each image, or not at all."""
    return {"batch": nn.BatchNorm2d(channels), "layer": nn.GroupNorm(1, channels), "none": nn.Identity()}[kind]


class Judgement(NamedTuple):
    """What a discriminator says of images.

    Attributes:
        logits: the logit of "real" (a critic's value), ``(B, 1)``.
        features: the last hidden layer, ``(B, F)``, on which further heads may stand.
    """

    logits: Tensor
    features: Tensor


class Generator(nn.Module):
    """Latent vectors to data: ``(B, latent_dim) -> (B, *data_shape)``, images in [-1, 1], vectors unbounded.

    Args:
        latent_dim: length of z.
        data_shape: shape of one output.
        labels: what the labels that condition it look like.
    """

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """The data that z stands for."""
        raise NotImplementedError(f"{type(self).__name__} has to implement forward")


class Discriminator(nn.Module):
    """Data to a logit, ``(B, *data_shape) -> (B, 1)``, and to the features before it.

    Args:
        data_shape: shape of one input, images in [-1, 1].
        labels: what the labels that condition it look like.
    """

    num_features: int
    """F."""

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Judgement:
        """The logit of x, and its features."""
        raise NotImplementedError(f"{type(self).__name__} has to implement forward")


class JointDiscriminator(nn.Module):
    """A pair of data and latent vector to a logit, and to the features before it.

    Args:
        data_shape: shape of x.
        latent_dim: length of z; 0 for a discriminator that sees x alone.
        labels: what the labels that condition it look like.
    """

    num_features: int
    """Length of the features."""

    def forward(self, x: Tensor, z: Tensor, labels: Tensor | None = None) -> Judgement:
        """The logit of (x, z), ``(B, 1)``."""
        raise NotImplementedError(f"{type(self).__name__} has to implement forward")


def normalize_spectrally(network: nn.Module, key: str, but: type[nn.Module] = ConditionalBatchNorm2d) -> None:
    r"""Divide every weight by its largest singular value, :math:`W / \sigma(W)` (Miyato et al., 2018, arXiv:1802.05957).

    By one power iteration in each forward pass in training mode; a convolution's weight is the matrix of its output channels.

    Args:
        network: whose weights.
        key: where the user chose it.
        but: what stays as it is: the gains and biases of a conditional batch normalisation, as those of a plain one do, or every label's
            vector.

    Raises:
        UserError: a weight is zero, as R3GAN's blocks start with, and has no largest singular value to be divided by.
    """
    exempt = {layer for module in network.modules() if isinstance(module, but) for layer in module.modules()}
    for name, layer in [*network.named_modules()]:
        if isinstance(layer, WITH_WEIGHTS) and layer not in exempt:
            if not layer.weight.any():
                raise UserError(f"{key}: expected weights to normalise, got {type(network).__name__}, whose {name} is zero at first")
            spectral_norm(layer)


def spectral_vectors(network: nn.Module) -> list[Tensor]:
    """The estimates of singular vectors, which every pass in training mode moves."""
    return [vector for layer in network.modules() if isinstance(layer, _SpectralNorm) for vector in layer.buffers(recurse=False)]


def orthogonal(layer: nn.Module) -> None:
    """Orthogonal weights (Saxe et al., 2014, arXiv:1312.6120); a convolution's is the matrix of its output channels.

    Biases stay, and weights that are zero, as the last ones of a residual block or the gains of a conditional normalisation start.
    """
    if isinstance(layer, WITH_WEIGHTS) and layer.weight.any():
        nn.init.orthogonal_(layer.weight)


def require_label_use(labels: LabelKind, label_features: int, default: int) -> None:
    """Refuse a length of the label's vector where there are no labels."""
    if not any(labels) and label_features != default:
        raise UserError(f"label_features: there are no labels, the model is unconditional; expected nothing, got {label_features}")
