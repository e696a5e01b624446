r"""An LSTM that goes over an image line by line, a whole line at a time (van den Oord et al., 2016, arXiv:1601.06759, Eq. 3)."""

from __future__ import annotations

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


def neighbours(line: Tensor, behind: int, ahead: int) -> Tensor:
    """Each position of a line ``(..., N, h)`` with those behind and ahead of it, zero outside: ``(..., N, (behind + 1 + ahead) h)``."""
    padded = pad(line, (0, 0, behind, ahead))
    return torch.cat([padded[..., tap : tap + line.shape[-2], :] for tap in range(behind + 1 + ahead)], -1)


class LineLSTM(nn.Module):
    r"""States of a line from those of the line before: the part of the gates that a convolution along that line adds.

    It has no bias: gates of zero, which stand for positions outside an image, give states of exactly zero.

    Args:
        hidden: h, features of the states.
        behind: how many positions of the line before it takes behind its own.
        ahead: how many ahead.
        directions: D, how many such networks go side by side.
    """

    def __init__(self, hidden: int, behind: int, ahead: int, directions: int = 1) -> None:
        super().__init__()
        self.behind, self.ahead = behind, ahead
        fan_in = (behind + 1 + ahead) * hidden
        self.weight = nn.Parameter(torch.empty(directions, fan_in, 4 * hidden).uniform_(-(fan_in**-0.5), fan_in**-0.5))

    def forward(self, gates: Tensor) -> Tensor:
        """What the input adds to the gates of all lines, ``(L, D, B, N, 4 h)``, to their states ``(L, D, B, N, h)``: L fused steps."""
        shape = (*gates.shape[1:-1], gates.shape[-1] // 4)  # D, B, N, h
        hidden = cells = gates.new_zeros(shape)
        lines = []
        for line in gates.flatten(2, 3).unbind():
            across = neighbours(hidden, self.behind, self.ahead).flatten(1, 2)  # D, B N, (behind + 1 + ahead) h
            new, cells = lstm_cell(torch.baddbmm(line, across, self.weight).unflatten(1, shape[1:3]), cells)
            hidden = new
            lines.append(hidden)
        return torch.stack(lines)
