r"""An LSTM that goes over an image line by line, a whole line at a time (van den Oord et al., 2016, arXiv:1601.06759, Eq. 3)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import pad


def lstm_cell(gates: Tensor, cells: Tensor) -> tuple[Tensor, Tensor]:
    r"""States and cells of an LSTM: :math:`c = \sigma(f) c' + \sigma(i) \tanh(g)`, :math:`h = \sigma(o) \tanh(c)`.

    Args:
        gates: o, f, i and g before their nonlinearities, ``(..., 4 h)``.
        cells: the cells before, ``(..., h)``.
    """
    width = cells.shape[-1]
    output, forget, new = gates[..., : 3 * width].sigmoid().split(width, -1)
    cells = torch.addcmul(forget * cells, new, gates[..., 3 * width :].tanh())
    return output * cells.tanh(), cells


def neighbours(padded: Tensor, taps: int, dim: int) -> Tensor:
    """Each run of so many positions along a dimension, side by side in the last one, which becomes as many times as long."""
    count = padded.shape[dim] - taps + 1
    return torch.cat([padded.narrow(dim, tap, count) for tap in range(taps)], -1)


class LineLSTM(nn.Module):
    r"""States of a line of pixels from those of the line before: what a convolution along that line adds to the gates.

    Lines may have different lengths: how a line is padded with zeros says what the next one's positions see of it.

    Args:
        hidden: h, features of the states.
        taps: how many neighbours on the line before a position sees.
        own: which of them it continues.
        directions: D, how many such networks go side by side.
    """

    def __init__(self, hidden: int, taps: int, own: int, directions: int = 1) -> None:
        super().__init__()
        self.taps, self.own = taps, own
        bound = (taps * hidden) ** -0.5
        self.weight = nn.Parameter(torch.empty(directions, taps * hidden, 4 * hidden).uniform_(-bound, bound))

    def forward(self, lines: Sequence[Tensor], paddings: Sequence[tuple[int, int]]) -> Tensor:
        """What the input adds to the gates of each line, ``(D, N, B, 4 h)``, to the states of all, ``(D, sum of N, B, h)``.

        Args:
            lines: one fused step each.
            paddings: with how many zeros the line before is padded in front and behind; before the first one stands an empty line.
        """
        hidden = cells = lines[0].new_zeros(len(self.weight), 0, lines[0].shape[2], self.weight.shape[2] // 4)
        states = []
        for line, (front, behind) in zip(lines, paddings, strict=True):
            around = (0, 0, 0, 0, front, behind)
            across = neighbours(pad(hidden, around), self.taps, 1)
            gates = torch.baddbmm(line.flatten(1, 2), across.flatten(1, 2), self.weight).view_as(line)
            hidden, cells = lstm_cell(gates, pad(cells, around).narrow(1, self.own, line.shape[1]))
            states.append(hidden)
        return torch.cat(states, 1)
