r"""The fully connected networks of BiGAN (Donahue et al., 2016, arXiv:1605.09782) for permutation-invariant MNIST, and convolutional ones.

Two hidden layers of 1024. A joint discriminator is given z at every layer after the first, as a linear map that is added before the
normalisation; the generator too. Normalisations have neither gains nor biases, but for those of the convolutional discriminator. Images are
worked on in [0, 1].
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu, relu

from lightning_gen.errors import UserError
from lightning_gen.nn.adversarial.base import Generator, JointDiscriminator, Judgement
from lightning_gen.nn.adversarial.dcgan import initialize
from lightning_gen.nn.base import Encoder, LabelEmbedding, LabelKind
from lightning_gen.nn.conv import require_width, resolution_levels

SLOPE = 0.2


class Layer(nn.Module):
    """A linear map of h, plus one of z where there is one, normalised without gain and bias where told so.

    Args:
        in_features, out_features: lengths of h and of the output.
        latent_dim: length of z; 0 for none.
        normalized: whether the output is normalised over the batch.
    """

    def __init__(self, in_features: int, out_features: int, latent_dim: int = 0, normalized: bool = False) -> None:
        super().__init__()
        self.linear = nn.Linear(in_features, out_features)
        self.of_z = nn.Linear(latent_dim, out_features, bias=False) if latent_dim else None
        self.norm = nn.BatchNorm1d(out_features, affine=False) if normalized else nn.Identity()

    def forward(self, h: Tensor, z: Tensor | None = None) -> Tensor:
        if self.training and len(h) == 1 and isinstance(self.norm, nn.BatchNorm1d):
            raise UserError(
                "data.batch_size: the network normalises over the batch (or micro-batch); expected at least 2 images in it, got 1"
            )
        out = self.linear(h)
        return self.norm(out if self.of_z is None or z is None else out + self.of_z(z))


class BiGANGenerator(Generator):
    """z at each of three layers; the output's sigmoid is brought to [-1, 1]. Labels are appended to z.

    Args:
        latent_dim, data_shape, labels: as for every :class:`Generator`.
        width: of the two hidden layers.
    """

    def __init__(self, latent_dim: int, data_shape: tuple[int, ...], labels: LabelKind = LabelKind(), width: int = 1024) -> None:
        super().__init__()
        require_width(width)
        self.data_shape = tuple(data_shape)
        self.embedding = LabelEmbedding(labels).shortened()
        size = latent_dim + self.embedding.features
        self.first, self.second = Layer(size, width, normalized=True), Layer(width, width, size, normalized=True)
        self.last = Layer(width, math.prod(data_shape), size)
        self.apply(initialize)

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        z = self.embedding.append(z, labels)
        x = self.last(relu(self.second(relu(self.first(z)), z)), z)
        # tanh(x / 2) is 2 sigmoid(x) - 1.
        return (torch.tanh(x / 2) if len(self.data_shape) == 3 else x).unflatten(1, self.data_shape)


class BiGANEncoder(Encoder):
    """Two hidden layers, the second normalised, and a linear one.

    Args:
        data_shape, out_features, labels: as for every :class:`Encoder`.
        width: of the two hidden layers.
    """

    def __init__(self, data_shape: tuple[int, ...], out_features: int, labels: LabelKind = LabelKind(), width: int = 1024) -> None:
        super().__init__()
        require_width(width)
        self.embedding = LabelEmbedding(labels)
        self.of_images = len(data_shape) == 3
        self.first = Layer(math.prod(data_shape) + self.embedding.features, width)
        self.second = Layer(width, width, normalized=True)
        self.last = nn.Linear(width, out_features)
        self.apply(initialize)

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        x = self.embedding.append(in_unit(x, self.of_images).flatten(1), labels)
        return self.last(leaky_relu(self.second(leaky_relu(self.first(x), SLOPE)), SLOPE))


class BiGANDiscriminator(JointDiscriminator):
    """Two hidden layers, the second given z and normalised, and a linear one.

    Args:
        data_shape, latent_dim, labels: as for every :class:`JointDiscriminator`.
        width: of the two hidden layers.
    """

    def __init__(self, data_shape: tuple[int, ...], latent_dim: int, labels: LabelKind = LabelKind(), width: int = 1024) -> None:
        super().__init__()
        require_width(width)
        self.embedding = LabelEmbedding(labels)
        self.of_images = len(data_shape) == 3
        self.num_features = width
        self.first = Layer(math.prod(data_shape) + self.embedding.features, width)
        self.second = Layer(width, width, latent_dim, normalized=True)
        self.head = nn.Linear(width, 1)
        self.apply(initialize)

    def forward(self, x: Tensor, z: Tensor, labels: Tensor | None = None) -> Judgement:
        x = self.embedding.append(in_unit(x, self.of_images).flatten(1), labels)
        features = leaky_relu(self.second(leaky_relu(self.first(x), SLOPE), z), SLOPE)
        return Judgement(self.head(features), features)


class ConvBiGANDiscriminator(JointDiscriminator):
    """DCGAN's discriminator; z is added at every convolution after the first, the same at every pixel.

    Args:
        data_shape, latent_dim: as for every :class:`JointDiscriminator`.
        labels: what the labels look like; their embedding is appended to z.
        width: channels after the first convolution, doubled at every further one.
    """

    def __init__(self, data_shape: tuple[int, ...], latent_dim: int, labels: LabelKind = LabelKind(), width: int = 64) -> None:
        super().__init__()
        levels, height, breadth = resolution_levels(data_shape)
        require_width(width)
        self.embedding = LabelEmbedding(labels)
        size = latent_dim + self.embedding.features
        channels = [width << level for level in range(levels)]
        self.first = nn.Conv2d(data_shape[0], width, 4, 2, 1)
        pairs = [*zip(channels, channels[1:], strict=False)]
        self.convolutions = nn.ModuleList(nn.Conv2d(before, after, 4, 2, 1, bias=False) for before, after in pairs)
        self.of_z = nn.ModuleList(nn.Linear(size, after, bias=False) for _, after in pairs) if size else None
        self.norms = nn.ModuleList(nn.BatchNorm2d(after) for _, after in pairs)
        self.num_features = 2 * channels[-1]
        self.joint = Layer(channels[-1] * height * breadth, self.num_features, size)
        self.head = nn.Linear(self.num_features, 1)
        self.apply(initialize)

    def forward(self, x: Tensor, z: Tensor, labels: Tensor | None = None) -> Judgement:
        z = self.embedding.append(z, labels)
        h = leaky_relu(self.first(x), SLOPE)
        offsets = [of_z(z)[..., None, None] for of_z in self.of_z] if self.of_z is not None else [0.0] * len(self.norms)
        for convolution, offset, norm in zip(self.convolutions, offsets, self.norms, strict=True):
            h = leaky_relu(norm(convolution(h) + offset), SLOPE)
        features = leaky_relu(self.joint(h.flatten(1), z), SLOPE)
        return Judgement(self.head(features), features)


def in_unit(x: Tensor, of_images: bool) -> Tensor:
    """Images in [-1, 1] brought to [0, 1]; vectors as they are."""
    return (x + 1) / 2 if of_images else x
