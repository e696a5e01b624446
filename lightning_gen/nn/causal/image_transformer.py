r"""Causal self-attention over a sequence of places: the decoder of iGPT (Chen et al., 2020, "Generative Pretraining from Pixels")."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from lightning_gen.errors import UserError
from lightning_gen.nn.causal.base import CausalNetwork, Places, generation_order, require_at_least_one
from lightning_gen.nn.causal.sequence import as_grid, as_sequence, shifted

START = 0.02
"""Standard deviation of the weights at the start."""


class AttentionState(NamedTuple):
    """What :meth:`ImageTransformerNetwork.step` remembers.

    Attributes:
        keys: of each block ``(B, heads, T, width / heads)``, right at the steps before.
        values: likewise.
        steps: what a step is given beside a value, ``(T, width)``.
        context: what the context adds to it, ``(B, width)``; None without one.
    """

    keys: list[Tensor]
    values: list[Tensor]
    steps: Tensor
    context: Tensor | None


class PlaceEmbedding(nn.Module):
    """A learned vector for each row, column and colour; that of a place is their sum.

    Args:
        places: what the network is about.
        width: length of the vectors.
    """

    def __init__(self, places: Places, width: int) -> None:
        super().__init__()
        self.places = places
        self.axes = nn.ModuleList(nn.Embedding(size, width) for size in (*places.grid, places.groups))

    def forward(self, places: Tensor) -> Tensor:
        """Numbers of places ``(T,)`` to vectors ``(T, width)``."""
        pixel, columns = places // self.places.groups, self.places.grid[1]
        row, column, group = self.axes
        return row(pixel // columns) + column(pixel % columns) + group(places % self.places.groups)


class Block(nn.Module):
    r"""Attention and a map of each step by itself, each behind a normalisation and beside the identity.

    .. math:: a = h + W \, \mathrm{attention}(\mathrm{LN}(h)), \quad h' = a + \mathrm{MLP}(\mathrm{LN}(a))

    Args:
        width: features of h; a multiple of ``num_heads``.
        num_heads: heads of the attention.
        dropout: share that is dropped in training, of the weights of the attention and of what is added to h.
    """

    def __init__(self, width: int, num_heads: int, dropout: float) -> None:
        super().__init__()
        self.num_heads, self.dropout = num_heads, nn.Dropout(dropout)
        self.heads = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 3 * width))
        self.out = nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, h: Tensor) -> Tensor:
        """``(B, T, width)`` to the same shape; step t sees steps 0 to t."""
        dropout = self.dropout.p if self.training else 0.0
        query, key, value = self.split(h)
        return self.add(h, scaled_dot_product_attention(query, key, value, is_causal=True, dropout_p=dropout))

    def step(self, h: Tensor, keys: Tensor, values: Tensor, t: int) -> Tensor:
        """The same of step t alone, ``(B, 1, width)``, given the keys and values of the steps before, to which its own are added."""
        query, keys[:, :, t : t + 1], values[:, :, t : t + 1] = self.split(h)
        return self.add(h, scaled_dot_product_attention(query, keys[:, :, : t + 1], values[:, :, : t + 1]))

    def split(self, h: Tensor) -> tuple[Tensor, ...]:
        """Queries, keys and values, ``(B, heads, T, width / heads)`` each."""
        return self.heads(h).unflatten(-1, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)

    def add(self, h: Tensor, attended: Tensor) -> Tensor:
        """h with what has been attended to, and with what the MLP makes of both."""
        h = h + self.dropout(self.out(attended.transpose(1, 2).flatten(2)))
        return h + self.dropout(self.mlp(h))


class ImageTransformerNetwork(CausalNetwork):
    """Blocks of attention over the places in any order of generation.

    A step is given the value of the place before, which place that is, and which place it is asked for: in a random order neither follows
    from the other. The context is added to all steps.

    Args:
        places: what the network is about.
        width: features of a step; a multiple of ``num_heads``.
        num_blocks: blocks.
        num_heads: heads of each attention.
        dropout: share that is dropped in training.
        order: the order of generation; see :func:`~lightning_gen.nn.causal.base.generation_order`.
        order_seed: seed of the random order.
    """

    places_in_order: Tensor

    def __init__(
        self,
        places: Places,
        width: int = 64,
        num_blocks: int = 4,
        num_heads: int = 4,
        dropout: float = 0.0,
        order: Literal["raster", "diagonal", "random"] = "raster",
        order_seed: int = 0,
    ) -> None:
        super().__init__(places)
        require_at_least_one(num_blocks=num_blocks, num_heads=num_heads)
        if width < 1 or width % num_heads:
            raise UserError(f"width: expected a multiple of the {num_heads} heads, got {width}")
        if not 0 <= dropout < 1:
            raise UserError(f"dropout: expected 0 to less than 1, got {dropout}")
        self.register_buffer("places_in_order", generation_order(order, places, order_seed), persistent=False)
        self._order = self.places_in_order.tolist()
        self.value = nn.Linear(places.in_features, width, bias=False)
        self.start = nn.Parameter(torch.zeros(1, width))
        self.known = PlaceEmbedding(places, width)
        self.asked = PlaceEmbedding(places, width)
        self.context = nn.Linear(places.context_features, width, bias=False) if places.context_features else None
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(Block(width, num_heads, dropout) for _ in range(num_blocks))
        self.last = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, places.num_parameters))
        self.start_small()

    @property
    def order(self) -> list[int]:
        return self._order

    @property
    def block_list(self) -> Sequence[Block]:
        """The blocks, from the first."""
        return cast(Sequence[Block], self.blocks)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        before = shifted(as_sequence(x, self.places)[:, self.places_in_order])
        h = self.value(before) + self.steps()
        if self.context is not None and context is not None:
            h = h + self.context(context)[:, None]
        h = self.dropout(h)
        for block in self.block_list:
            h = block(h)
        return as_grid(self.last(h)[:, self.places_in_order.argsort()], self.places)

    def start_small(self) -> None:
        """Weights start as GPT-2's (Radford et al., 2019): normal, smaller where they add to the identity; biases at zero."""
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                nn.init.normal_(module.weight, std=START)
            if isinstance(module, nn.Linear) and module.bias is not None:
                nn.init.zeros_(module.bias)
        for block in self.block_list:
            for weight in (block.out.weight, block.mlp.get_parameter("3.weight")):
                nn.init.normal_(weight, std=START / (2 * len(self.blocks)) ** 0.5)

    def steps(self) -> Tensor:
        """What each step is given beside a value and the context, ``(T, width)``: which place is known and which is asked."""
        order = self.places_in_order
        return torch.cat([self.start, self.known(order[:-1])]) + self.asked(order)

    # One place after the other.

    def init_state(self, x: Tensor, context: Tensor | None = None) -> AttentionState:
        steps = self.steps()
        num_heads = self.block_list[0].num_heads
        shape = len(x), num_heads, len(steps), steps.shape[1] // num_heads
        keys, values = ([x.new_empty(shape) for _ in self.blocks] for _ in range(2))
        return AttentionState(keys, values, steps, None if self.context is None or context is None else self.context(context))

    def step(self, state: AttentionState, x: Tensor, t: int) -> Tensor:
        h = state.steps[t].expand(len(x), -1)
        if t > 0:
            h = h + self.value(self.places.at(x, self.order[t - 1]))
        if state.context is not None:
            h = h + state.context
        h = h[:, None]  # (B, 1, width)
        for block, keys, values in zip(self.block_list, state.keys, state.values, strict=True):
            h = block.step(h, keys, values, t)
        return self.last(h[:, 0])
