r"""Self-attention over the pixels of a feature map (SAGAN, Zhang et al., 2018, arXiv:1805.08318)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import max_pool2d, scaled_dot_product_attention

from lightning_gen.errors import UserError


class SelfAttention(nn.Module):
    r"""Adds to every pixel what it attends to, weighted by a gain that starts at zero.

    .. math:: x + \gamma\, W_o\, \mathrm{softmax}\big((W_f x)^\top W_g x\big)\, W_h x

    Keys and values are pooled over 2x2 pixels, as the paper's own code has it. A map with odd sides is not pooled.

    Args:
        channels: of x; queries and keys have an eighth of them, values a half.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.query = nn.Conv2d(channels, max(1, channels // 8), 1, bias=False)
        self.key = nn.Conv2d(channels, max(1, channels // 8), 1, bias=False)
        self.value = nn.Conv2d(channels, max(1, channels // 2), 1, bias=False)
        self.out = nn.Conv2d(max(1, channels // 2), channels, 1, bias=False)
        self.gain = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        """x ``(B, C, H, W)`` to the same shape."""
        stride = 1 if x.shape[2] % 2 or x.shape[3] % 2 else 2
        query, key, value = (
            part.flatten(2).transpose(1, 2)  # (B, pixels, channels)
            for part in (self.query(x), max_pool2d(self.key(x), stride), max_pool2d(self.value(x), stride))
        )
        attended = scaled_dot_product_attention(query, key, value, scale=1.0).transpose(1, 2).unflatten(2, x.shape[2:])
        return x + self.gain * self.out(attended)


def require_attended(attention: bool, levels: int) -> None:
    """Refuse attention in a generator that has no block before or behind the maps where it stands."""
    if attention and levels < 2:
        raise UserError("attention: expected false for images whose sides are halved only once, got true")
