r"""Autoregressive layers: each number is transformed by what the earlier ones say (Papamakarios et al., 2017, arXiv:1705.07057, Section 3).

From x to z is one pass of the network. Back, :math:`x_i` needs the earlier ones first. Not D passes one after the other: all numbers are
solved for at once, again and again, until nothing changes (Jacobi's iteration). After n passes the first n numbers, in the network's order,
are what they stay, whatever the others were; so D passes are always enough, and a pass that changes nothing proves the solution. It is the
same one, bit by bit, that the D-pass loop finds. Gradients of it come from the implicit function theorem, by the same iteration.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from lightning_gen.bijections.base import Bijection, sum_event, wide
from lightning_gen.bijections.transforms import Transform, shaped
from lightning_gen.nn.conditioner import Conditioner
from lightning_gen.noise import Noise

LARGEST = 1e15
"""What the network sees of a guess that is far off is cut here: infinity times a weight of zero would not be zero."""


class Autoregressive(Bijection):
    r"""An autoregressive layer of any transform.

    .. math:: z_i = g\big(x_i;\, N_i(x_{<i})\big), \qquad \log|\det| = \sum_i \log g'(x_i)

    Args:
        network: N, whose parameters for a number depend on earlier ones only, such as :class:`~lightning_gen.nn.masked.MaskedMLP`.
        transform: g.
        num_passes: passes after which the inverse is certainly exact; None for one per number.
    """

    def __init__(self, network: Conditioner, transform: Transform, num_passes: int | None = None) -> None:
        super().__init__()
        self.network = network
        self.transform = transform
        self.num_passes = num_passes

    def parameters_of(self, x: Tensor, context: Tensor | None) -> Tensor:
        """What is said of every number, ``(B, P, *event)``."""
        return shaped(self.network(x, context), self.transform.num_parameters, tuple(x.shape[1:]))

    def forward(self, x: Tensor, context: Tensor | None = None, noise: Noise | None = None) -> tuple[Tensor, Tensor]:
        x = x.to(wide(x))
        z, log_slope = self.transform(x, self.parameters_of(x, context))
        return z, sum_event(log_slope)

    def inverse(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        z = z.to(wide(z))
        with torch.no_grad():
            x = fixed_point(lambda guess: self.improved(guess, z, context), torch.zeros_like(z), self.most_passes(z))
        if not torch.is_grad_enabled():
            return x
        return self.with_gradient(x, z, context)

    def most_passes(self, z: Tensor) -> int:
        """How many passes are certainly enough."""
        return z[0].numel() if self.num_passes is None else self.num_passes

    def improved(self, x: Tensor, z: Tensor, context: Tensor | None) -> Tensor:
        """All numbers solved for, given a guess of the earlier ones."""
        guess = torch.nan_to_num(x, nan=0.0).clamp(-LARGEST, LARGEST)
        return self.transform.inverse(z, self.parameters_of(guess, context))

    def with_gradient(self, x: Tensor, z: Tensor, context: Tensor | None) -> Tensor:
        r"""The solution x of f(x) = z with its gradient (implicit function theorem): :math:`dx = L^{-1} (dz - df)`, L = df/dx.

        L is triangular, so that :math:`v = L^{-\top} u` is a fixed point as well: with its diagonal S and the rest R,
        :math:`v = S^{-1} (u - R^\top v)`.
        """
        given = x.detach().requires_grad_()
        through_network, log_slope = self.transform(x, self.parameters_of(given, context))
        residual = z - through_network
        slope = torch.exp(log_slope.detach())

        def solve(u: Tensor) -> Tensor:
            def improved(v: Tensor) -> Tensor:
                (of_rest,) = torch.autograd.grad(through_network, given, v, retain_graph=True, allow_unused=True, materialize_grads=True)
                return (u - of_rest) / slope

            return fixed_point(improved, u / slope, self.most_passes(x))

        residual.register_hook(solve)
        return x + (residual - residual.detach())


class Gate(Transform):
    r"""The update of inverse autoregressive flow as the gate of an LSTM (Kingma et al., 2016, arXiv:1606.04934, Algorithm 1).

    .. math:: z = \sigma(s) \odot x + (1 - \sigma(s)) \odot m, \qquad s = r + 2

    The gate starts nearly open (the paper: s around +1 or +2), hence the layer near the identity.

    Args:
        event_shape: as for every :class:`Transform`.
    """

    num_parameters = 2
    opening = 2.0

    def forward(self, x: Tensor, parameters: Tensor) -> tuple[Tensor, Tensor]:
        s = parameters[:, 0] + self.opening
        gate = torch.sigmoid(s)
        return gate * x + (1 - gate) * parameters[:, 1], logsigmoid(s)

    def inverse(self, z: Tensor, parameters: Tensor) -> Tensor:
        s = parameters[:, 0] + self.opening
        return (z - torch.sigmoid(-s) * parameters[:, 1]) * torch.exp(-logsigmoid(s))


def fixed_point(step: Callable[[Tensor], Tensor], x: Tensor, most_steps: int) -> Tensor:
    """x after so many steps, or after the first that changes no bit of it: items that have arrived stay, so none depends on the others."""
    for _ in range(most_steps):
        before, x = x, step(x)
        if bool(((x == before) | (x.isnan() & before.isnan())).all()):
            break
    return x
