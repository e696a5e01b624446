r"""The network of Flow++'s couplings (Ho et al., 2019, arXiv:1902.00275, Section 3.3): gated convolutions and self-attention in turn.

Implemented: gated residual blocks with concatenated ELUs (PixelCNN++, arXiv:1701.05517), multi-head self-attention over all positions
with a learned position embedding, layer normalisation over channels, dropout, a context of the image's size. Deviation: weights start as
PyTorch's do, branches scaled by 0.1 and the last layer at zero; the authors' code scales every layer by statistics of the first batch.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import elu, scaled_dot_product_attention

from lightning_gen.errors import UserError
from lightning_gen.nn.conditioner import Conditioner, start_at_zero
from lightning_gen.nn.conv import require_width

BRANCH_SCALE = 0.1
"""Of the last weights of every residual branch at the start, so that a deep network starts near its first layer."""


class GatedAttentionNet(Conditioner):
    """A 3x3 convolution, blocks of a gated convolution and gated attention, and a 3x3 convolution that starts at zero.

    Args:
        in_shape: of x, ``(C, H, W)``; the size belongs to the network, since every position has its own embedding.
        out_channels: of the parameters.
        width: channels in between; a multiple of ``num_heads``.
        num_blocks: blocks, each of a convolution and an attention.
        num_heads: heads of the attention; 0 for none.
        dropout: share of the features that are dropped in training.
        context_channels: of the context ``(B, F, H, W)``; 0 without one.
    """

    def __init__(
        self,
        in_shape: tuple[int, ...],
        out_channels: int,
        width: int = 96,
        num_blocks: int = 10,
        num_heads: int = 4,
        dropout: float = 0.2,
        context_channels: int = 0,
    ) -> None:
        super().__init__()
        require_width(width)
        if num_blocks < 1:
            raise UserError(f"num_blocks: expected at least 1, got {num_blocks}")
        if num_heads < 0 or (num_heads and width % num_heads):
            raise UserError(f"num_heads: expected 0 for no attention, or a divisor of the width {width}, got {num_heads}")
        self.takes_context = context_channels > 0
        self.first = nn.Conv2d(in_shape[0], width, 3, padding=1)
        self.convolutions = nn.ModuleList(GatedConvolution(width, dropout, context_channels) for _ in range(num_blocks))
        self.attentions = nn.ModuleList(GatedAttention(width, num_heads, dropout) for _ in range(num_blocks if num_heads else 0))
        self.norms = nn.ModuleList(ChannelNorm(width) for _ in range(len(self.convolutions) + len(self.attentions)))
        self.position = nn.Parameter(0.01 * torch.randn(width, *in_shape[1:])) if num_heads else None
        self.last = nn.Conv2d(width, out_channels, 3, padding=1)
        start_at_zero(self.last)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """x ``(B, C, H, W)`` and the context ``(B, F, H, W)`` to parameters ``(B, out_channels, H, W)``."""
        h, norms = self.first(x), iter(self.norms)
        for block, convolution in enumerate(self.convolutions):
            h = next(norms)(convolution(h, context if self.takes_context else None))
            if self.attentions:
                h = next(norms)(self.attentions[block](h, self.position))
        return self.last(h)


class GatedConvolution(nn.Module):
    """x + gate(W2 f(W1 f(x) + V f(context))) with f a concatenated ELU; W1 is 3x3, the others are 1x1.

    Args:
        width: channels of x.
        dropout: before W2.
        context_channels: of the context; 0 without one.
        kernel_size: of W2.
    """

    def __init__(self, width: int, dropout: float = 0.0, context_channels: int = 0, kernel_size: int = 1) -> None:
        super().__init__()
        self.first = nn.Conv2d(2 * width, width, 3, padding=1)
        self.context = nn.Conv2d(2 * context_channels, width, 1) if context_channels else None
        self.dropout = dropout_layer(dropout)
        self.second = small(nn.Conv2d(2 * width, 2 * width, kernel_size, padding=kernel_size // 2))

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """x ``(B, width, H, W)`` to the same shape."""
        h = self.first(concatenated_elu(x))
        if self.context is not None and context is not None:
            h = h + self.context(concatenated_elu(context))
        return x + gated(self.second(self.dropout(concatenated_elu(h))))


class GatedAttention(nn.Module):
    """x + gate(W attention(x + position)): every position looks at all of them (Vaswani et al., 2017, arXiv:1706.03762).

    Args:
        width: channels of x.
        num_heads: heads.
        dropout: before W.
    """

    def __init__(self, width: int, num_heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.first = nn.Conv2d(width, 3 * width, 1)
        self.dropout = dropout_layer(dropout)
        self.second = small(nn.Conv2d(width, 2 * width, 1))

    def forward(self, x: Tensor, position: Tensor) -> Tensor:
        """x ``(B, width, H, W)`` and the embedding of positions ``(width, H, W)`` to x's shape."""
        heads = self.first(x + position).flatten(2).unflatten(1, (3, self.num_heads, -1)).mT  # (B, 3, heads, H W, width / heads)
        attended = scaled_dot_product_attention(*heads.unbind(1))
        return x + gated(self.second(self.dropout(attended.mT.reshape(x.shape))))


class ChannelNorm(nn.LayerNorm):
    """Layer normalisation over the channels of each position (Ba et al., 2016, arXiv:1607.06450)."""

    def forward(self, x: Tensor) -> Tensor:
        """x ``(B, C, H, W)`` to the same shape."""
        return super().forward(x.movedim(1, -1)).movedim(-1, 1)


def concatenated_elu(x: Tensor) -> Tensor:
    """ELU of x and of -x, ``(B, 2C, H, W)``: no direction of x is lost."""
    return elu(torch.cat([x, -x], dim=1))


def gated(x: Tensor) -> Tensor:
    """One half of the channels times the sigmoid of the other."""
    value, gate = x.chunk(2, dim=1)
    return value * torch.sigmoid(gate)


def small(layer: nn.Conv2d) -> nn.Conv2d:
    """The layer with the weights that a residual branch starts with."""
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.mul_(BRANCH_SCALE)
    return layer


def dropout_layer(share: float) -> nn.Dropout:
    """Dropout of a share of the features that makes sense."""
    if not 0 <= share < 1:
        raise UserError(f"dropout: expected a number from 0 to below 1, got {share}")
    return nn.Dropout(share)
