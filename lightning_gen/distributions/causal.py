r"""The distribution of images (or codes) that a causal network and the distribution of a pixel make together."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from lightning_gen.distributions.pixels.base import PixelDistribution
from lightning_gen.nn.causal.base import CausalNetwork


class CausalDistribution(nn.Module):
    r"""The chain rule, place by place: :math:`\log P(x) = \sum_t \log P(x_t | x_{<t})`.

    Args:
        network: computes the parameters of each factor.
        pixels: what they are the parameters of.
    """

    def __init__(self, network: CausalNetwork, pixels: PixelDistribution) -> None:
        super().__init__()
        self.network = network
        self.pixels = pixels

    def log_prob(self, levels: Tensor, context: Tensor | None = None) -> Tensor:
        """log-mass of levels ``(B, C, H, W)`` in nats, ``(B,)``: exact, in one pass."""
        return self.pixels.log_prob(self.network(self.pixels.inputs(levels), context), levels)

    @property
    def uniforms_shape(self) -> tuple[int, int]:
        """Uniform numbers of one draw: one row for each place, whatever the order of generation."""
        return self.network.places.count, self.pixels.num_uniforms

    @torch.no_grad()
    def sample(
        self,
        u: Tensor,
        context: Tensor | None = None,
        given: Tensor | None = None,
        hidden: Tensor | None = None,
        on_place: Callable[[int, int], None] | None = None,
    ) -> Tensor:
        """Levels drawn one place after the other, int64 ``(B, C, H, W)``.

        Args:
            u: uniform numbers ``(B, *uniforms_shape)``: the same ones give the same image.
            context: ``(B, E)``.
            given: levels ``(B, C, H, W)``; what is not hidden stays as it is.
            hidden: where to draw, bool, broadcast to those levels; everywhere by default.
            on_place: called with the number of places that are done, and of all.
        """
        network, pixels = self.network, self.pixels
        levels = u.new_zeros(len(u), pixels.channels, *network.places.grid, dtype=torch.int64)
        x = torch.zeros_like(pixels.inputs(levels))
        state = network.init_state(x, context)
        if given is None or hidden is None:
            given, hidden = levels, torch.ones_like(levels, dtype=torch.bool)
        hidden = hidden.expand_as(levels)
        for t, place in enumerate(network.order):
            row, column, group = network.places.locate(place)
            here = (slice(None), slice(group, None, pixels.groups), row, column)
            drawn = pixels.draw(network.step(state, x, t), u[:, place])
            levels[here] = drawn = torch.where(hidden[here], drawn, given[here])
            x[here] = pixels.inputs(drawn)
            if on_place is not None:
                on_place(t + 1, len(network.order))
        return levels
