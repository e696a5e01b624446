"""Layers that keep activations in range: ActNorm, and batch normalisation as a bijection."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lightning_gen.bijections.base import Bijection, wide
from lightning_gen.errors import UserError
from lightning_gen.nn.data_dependent import DataDependent, moments, require_deviation
from lightning_gen.noise import Noise


class ActNorm(Bijection, DataDependent):
    r"""A learned scale and shift per channel, which start by standardising the first global batch (Glow, arXiv:1807.03039, Section 3.1).

    .. math:: z_c = e^{s_c} (x_c + b_c)

    Args:
        num_channels: C (numbers of a vector).
        num_dims: dimensions of the data, 3 for images and 1 for vectors.
    """

    smallest_deviation = 1e-6
    """A constant channel is not blown up further."""

    def __init__(self, num_channels: int, num_dims: int = 3) -> None:
        super().__init__()
        shape = (num_channels, *[1] * (num_dims - 1))
        self.shift = nn.Parameter(torch.zeros(shape))
        self.log_scale = nn.Parameter(torch.zeros(shape))

    def initialize(self, x: Tensor) -> None:
        mean, variance = moments(x)
        with torch.no_grad():
            self.shift.copy_(-mean.view_as(self.shift))
            self.log_scale.copy_(-(variance.sqrt() + self.smallest_deviation).log().view_as(self.log_scale))

    def forward(self, x: Tensor, context: Tensor | None = None, noise: Noise | None = None) -> tuple[Tensor, Tensor]:
        self.begin(x)
        x = x.to(wide(x))
        log_det = self.log_scale.sum().to(x.dtype) * x[0, 0].numel()
        return torch.exp(self.log_scale) * (x + self.shift), log_det.expand(len(x))

    def inverse(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        return torch.exp(-self.log_scale) * z.to(wide(z)) - self.shift


class BatchNormalization(Bijection):
    r"""Batch normalisation as a layer of a flow (Dinh et al., 2016, arXiv:1605.08803, Section 3.7).

    .. math:: z = \frac{x - \mu}{\sqrt{\sigma^2 + \epsilon}}, \qquad \log|\det| = -\tfrac12 HW \sum_c \log(\sigma_c^2 + \epsilon)

    In training mode the statistics are those of the global batch, with gradients through them; in evaluation mode, running means of them.
    Deviation: the paper also trains with the running means mixed in. There is no inverse in training mode, where z depends on the batch.

    Args:
        num_channels: C (numbers of a vector).
        momentum: share of the running means that each batch replaces.
        epsilon: keeps the scale finite.
    """

    running_mean: Tensor
    running_variance: Tensor
    log_scale: Tensor | None = None
    """By what the last batch was scaled ``(C,)``, for those who look for extreme scales."""

    def __init__(self, num_channels: int, momentum: float = 0.1, epsilon: float = 1e-5) -> None:
        super().__init__()
        self.momentum = momentum
        self.epsilon = epsilon
        # One, not zero: an evaluation before the first step must not explode.
        self.register_buffer("running_mean", torch.zeros(num_channels))
        self.register_buffer("running_variance", torch.ones(num_channels))

    def statistics(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and variance ``(C,)`` by which this batch is normalised.

        Raises:
            UserError: in training there is one number per channel on all processes together.
        """
        if not self.training:
            return self.running_mean, self.running_variance
        require_deviation(x, "BatchNormalization divides by each channel's standard deviation over the global batch")
        mean, variance = moments(x)
        with torch.no_grad():
            self.running_mean.lerp_(mean.to(self.running_mean.dtype), self.momentum)
            self.running_variance.lerp_(variance.to(self.running_variance.dtype), self.momentum)
        return mean, variance

    def forward(self, x: Tensor, context: Tensor | None = None, noise: Noise | None = None) -> tuple[Tensor, Tensor]:
        x = x.to(wide(x))
        mean, variance = self.statistics(x)
        log_scale = -0.5 * torch.log(variance + self.epsilon)
        self.log_scale = log_scale.detach()
        z = (x - per_channel(mean, x)) * torch.exp(per_channel(log_scale, x))
        return z, (log_scale.sum() * x[0, 0].numel()).expand(len(x))

    def inverse(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        if self.training:
            raise UserError("BatchNormalization: no inverse in training mode, where z depends on the whole batch; expected model.eval()")
        z = z.to(wide(z))
        deviation = torch.sqrt(self.running_variance + self.epsilon)
        return z * per_channel(deviation, z) + per_channel(self.running_mean, z)


def per_channel(values: Tensor, x: Tensor) -> Tensor:
    """Numbers ``(C,)`` for broadcasting with x ``(B, C, ...)``."""
    return values.view(-1, *[1] * (x.dim() - 2))
