r"""The network of WaveNet (van den Oord et al., 2016, arXiv:1609.03499) over the raster of places."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from lightning_gen.nn.causal.base import CausalNetwork, Places, require_at_least_one
from lightning_gen.nn.causal.masked_conv import require_dilations
from lightning_gen.nn.causal.sequence import RasterInputs, as_grid


class WaveNetState(NamedTuple):
    """What :meth:`WaveNetNetwork.step` remembers.

    Attributes:
        rings: of each layer its last inputs, as many as its dilation, each ``(B, width)``; input t stands at t modulo the dilation.
        contexts: what the context adds to each layer's gates, ``(B, 2 width)``; None without one.
    """

    rings: list[list[Tensor]]
    contexts: list[Tensor | None]


class GatedLayer(nn.Module):
    r"""A causal convolution of two taps, gated, onto the next layer and onto the output (Eqs. 2 and 3 of the paper, and its Figure 4).

    .. math:: z_t = \tanh(W_f x_{t-d} + V_f x_t + U_f h) \odot \sigma(W_g x_{t-d} + V_g x_t + U_g h), \quad x_t + R z_t, \quad S z_t

    Args:
        width: channels of x and z.
        skip_width: channels to the output.
        dilation: d.
        context_features: length of h; 0 for none.
        is_last: nothing follows, so there is no R.
    """

    def __init__(self, width: int, skip_width: int, dilation: int, context_features: int, is_last: bool) -> None:
        super().__init__()
        self.skip_width, self.dilation, self.is_last = skip_width, dilation, is_last
        self.gates = nn.Linear(2 * width, 2 * width)
        self.context = nn.Linear(context_features, 2 * width, bias=False) if context_features else None
        self.out = nn.Linear(width, skip_width if is_last else skip_width + width)

    def forward(self, x: Tensor, before: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        """What goes onto the output, and the next layer's x.

        Args:
            x: ``(..., width)``.
            before: the same d places before.
            context: U h, ``(..., 2 width)``.
        """
        gates = self.gates(torch.cat([before, x], -1))
        content, gate = (gates if context is None else gates + context).chunk(2, -1)
        skip, residual = self.out(content.tanh() * gate.sigmoid()).tensor_split([self.skip_width], -1)
        return skip, x if self.is_last else x + residual

    def added(self, context: Tensor | None) -> Tensor | None:
        """U h of a context ``(B, E)``."""
        return None if self.context is None or context is None else self.context(context)


class WaveNetNetwork(CausalNetwork):
    """A linear map of the inputs, gated layers whose outputs are added, and two more linear maps behind ReLUs.

    A place knows of the ``1 + sum(dilations)`` places before it, which can be fewer than there are.

    Args:
        places: what the network is about.
        dilations: of each layer, distance of its two taps in places.
        width: channels of a layer.
        skip_width: channels of the sum of the layers' outputs, and of the map between the ReLUs.
        coordinates: whether row, column and colour of the place that is predicted are inputs.
    """

    def __init__(
        self,
        places: Places,
        dilations: list[int] = [1, 2, 4, 8, 16, 32],
        width: int = 32,
        skip_width: int = 64,
        coordinates: bool = True,
    ) -> None:
        super().__init__(places)
        require_dilations(dilations)
        require_at_least_one(width=width, skip_width=skip_width)
        self.inputs = RasterInputs(places, coordinates)
        self.first = nn.Linear(self.inputs.features, width)
        last = len(dilations) - 1
        self.layers = nn.ModuleList(
            GatedLayer(width, skip_width, dilation, places.context_features, number == last) for number, dilation in enumerate(dilations)
        )
        self.head = nn.Sequential(nn.ReLU(), nn.Linear(skip_width, skip_width), nn.ReLU(), nn.Linear(skip_width, places.num_parameters))

    @property
    def gated_layers(self) -> Sequence[GatedLayer]:
        """The layers, from the first."""
        return cast(Sequence[GatedLayer], self.layers)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        h = self.first(self.inputs(x))  # (B, T, width)
        total = h.new_zeros(())
        for layer in self.gated_layers:
            before = pad(h, (0, 0, layer.dilation, 0))[:, : h.shape[1]]
            added = layer.added(context)
            skip, h = layer(h, before, None if added is None else added[:, None])
            total = total + skip
        return as_grid(self.head(total), self.places)

    def init_state(self, x: Tensor, context: Tensor | None = None) -> WaveNetState:
        zeros = x.new_zeros(len(x), self.first.out_features)
        rings = [[zeros] * layer.dilation for layer in self.gated_layers]
        return WaveNetState(rings, [layer.added(context) for layer in self.gated_layers])

    def step(self, state: WaveNetState, x: Tensor, t: int) -> Tensor:
        h = self.first(self.inputs.at(x, t))
        total = h.new_zeros(())
        for layer, ring, context in zip(self.gated_layers, state.rings, state.contexts, strict=True):
            slot = t % layer.dilation
            before, ring[slot] = ring[slot], h
            skip, h = layer(h, before, context)
            total = total + skip
        return self.head(total)
