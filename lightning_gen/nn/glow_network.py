"""The network of Glow's couplings (Kingma & Dhariwal, 2018, arXiv:1807.03039, Section 3.3 and Appendix; the authors' code)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, relu

from lightning_gen.nn.conditioner import Conditioner
from lightning_gen.nn.conv import require_width
from lightning_gen.nn.data_dependent import DataDependent, moments


class GlowNetwork(Conditioner):
    """A 3x3 convolution, a 1x1 convolution, ReLU after each, and a 3x3 convolution that starts at zero.

    As in the authors' code, the first two are followed by an activation normalisation: their outputs start with mean 0 and variance 1 on
    the first global batch. It knows no context: a class enters Glow's prior alone.

    Args:
        in_channels, out_channels: of x and of the parameters.
        width: channels of the hidden layers; 512 in the paper.
    """

    def __init__(self, in_channels: int, out_channels: int, width: int = 512) -> None:
        super().__init__()
        require_width(width)
        self.first = NormalizedConvolution(in_channels, width, kernel_size=3)
        self.second = NormalizedConvolution(width, width, kernel_size=1)
        self.last = ZeroConvolution(width, out_channels)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        hidden = relu(self.first(x), inplace=True)
        return self.last(relu(self.second(hidden), inplace=True))


class NormalizedConvolution(DataDependent):
    r"""A convolution with a learned scale and shift per channel, :math:`y_c = e^{s_c} (w_c * x) + b_c`, which start by standardising y.

    The scale is multiplied into the weights, which are far fewer numbers than y.

    Args:
        in_channels, out_channels: of x and y.
        kernel_size: odd.
    """

    smallest_deviation = 1e-6
    """A constant channel is not blown up further."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(0.05 * torch.randn(out_channels, in_channels, kernel_size, kernel_size))
        self.log_scale = nn.Parameter(torch.zeros(out_channels))
        self.bias = nn.Parameter(torch.zeros(out_channels))

    def initialize(self, x: Tensor) -> None:
        with torch.no_grad():
            mean, variance = moments(conv2d(x, self.weight, padding=self.weight.shape[-1] // 2))
            scale = 1 / (variance.sqrt() + self.smallest_deviation)
            self.log_scale.copy_(scale.log())
            self.bias.copy_(-mean * scale)

    def forward(self, x: Tensor) -> Tensor:
        """x ``(B, C, H, W)`` to y ``(B, C', H, W)``."""
        self.begin(x)
        weight = self.log_scale.exp().view(-1, 1, 1, 1) * self.weight
        return conv2d(x, weight, self.bias, padding=self.weight.shape[-1] // 2)


class ZeroConvolution(Conditioner):
    r"""A 3x3 convolution that starts at zero, with a learned gain per channel: :math:`y_c = e^{3 l_c} (w_c * x + b_c)`.

    The factor of 3 makes the gain learn faster than the weights; it is the authors'.

    Args:
        in_channels, out_channels: of x and y.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(out_channels, in_channels, 3, 3))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        self.log_gain = nn.Parameter(torch.zeros(out_channels))

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        gain = torch.exp(3 * self.log_gain)
        return conv2d(x, gain.view(-1, 1, 1, 1) * self.weight, gain * self.bias, padding=1)
