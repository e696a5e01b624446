r"""The cumulative distribution function (CDF) of a mixture as an increasing function of one number, and its inverse.

Sent through a mixture's CDF, draws of that mixture are uniform; so the density that it stands for is the mixture itself. As a flow of one
number this is an exercise of Berkeley's course CS294-158; as the function of a coupling it is Flow++ (Ho et al., 2019, arXiv:1902.00275).
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid
from torch.special import erfcx, log_ndtr, ndtri

from lightning_gen.bijections.transforms import Transform
from lightning_gen.errors import UserError

Output = Literal["uniform", "logistic", "normal"]
Family = Literal["logistic", "normal"]
HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)
MAX_ITERATIONS = 200
"""Of the inverse: halving alone takes about 60 in float64; nearly all numbers take fewer than 10."""


class MixtureCDF(Transform):
    r"""z = G^{-1}(F(x)) with F the CDF of a mixture of K logistics or normals, and G that of the noise.

    .. math::
        F(x) = \sum_k \pi_k F_0\big((x - \mu_k) e^{-s_k}\big), \qquad
        \log\frac{dz}{dx} = \log \sum_k \pi_k e^{-s_k} f_0\big((x - \mu_k) e^{-s_k}\big) - \log g(z)

    log F, log(1 - F) and the log-density are computed apart, by log-sum-exp, and z from them, so that far tails stay finite. Parameters of
    a number are the logits of pi, the means and the log-scales. Where a network says zero the means lie apart, with the variance of all
    components together that of one with scale 1: the function starts near the identity (onto noise of the components' kind), and
    components whose parameters were equal would stay equal.

    Args:
        event_shape: as for every :class:`~lightning_gen.bijections.transforms.Transform`.
        num_components: K.
        output: the noise: ``uniform`` (z = F; its upper tail has no more digits than 1 - z has), ``logistic`` (z = logit F, as in Flow++)
            or ``normal`` (z = probit F).
        family: of the components.
        max_log_scale: the bound that s approaches on both sides, c in s = c tanh(r / c).
    """

    start: Tensor

    def __init__(
        self,
        event_shape: tuple[int, ...],
        num_components: int = 8,
        output: Output = "logistic",
        family: Family = "logistic",
        max_log_scale: float = 7.0,
    ) -> None:
        super().__init__(event_shape)
        if num_components < 1:
            raise UserError(f"num_components: expected at least 1, got {num_components}")
        self.num_components = num_components
        self.output = output
        self.family = family
        self.max_log_scale = max_log_scale
        self.num_parameters = 3 * num_components
        share = (torch.arange(num_components, dtype=torch.float64) + 0.5) / num_components
        means = 0.5 * quantile(torch.log(share), torch.log1p(-share), family)
        variance = math.pi**2 / 3 if family == "logistic" else 1.0
        log_scales = 0.5 * torch.log1p(-means.square().mean() / variance).expand(num_components)
        start = torch.cat([torch.zeros(num_components), means, log_scales]).view(-1, *[1] * len(event_shape))
        self.register_buffer("start", start.to(torch.get_default_dtype()), persistent=False)

    def mixture(self, parameters: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Log-weights, means and log-scales, ``(B, K, *event)`` each."""
        logits, means, log_scales = (parameters + self.start).chunk(3, dim=1)
        return torch.log_softmax(logits, dim=1), means, self.max_log_scale * torch.tanh(log_scales / self.max_log_scale)

    def log_probabilities(self, x: Tensor, mixture: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """log F, log(1 - F) and the log-density of x, each of its shape."""
        log_weights, means, log_scales = mixture
        u = (x.unsqueeze(1) - means) * torch.exp(-log_scales)
        if self.family == "logistic":
            below, above = logsigmoid(u), logsigmoid(-u)
            density = below + above
        else:
            below, above = log_ndtr(u), log_ndtr(-u)
            density = -0.5 * u.square() - HALF_LOG_2PI
        terms = torch.stack([below, above, density - log_scales]) + log_weights
        log_below, log_above, log_density = torch.logsumexp(terms, dim=2)
        return log_below, log_above, log_density

    def forward(self, x: Tensor, parameters: Tensor) -> tuple[Tensor, Tensor]:
        log_below, log_above, log_density = self.log_probabilities(x, self.mixture(parameters))
        if self.output == "uniform":
            return torch.where(log_below < log_above, torch.exp(log_below), -torch.expm1(log_above)), log_density  # never above 1
        if self.output == "logistic":
            return log_below - log_above, log_density - log_below - log_above
        z = probit(log_below, log_above)
        return z, log_density + 0.5 * z.square() + HALF_LOG_2PI

    def logit_of(self, z: Tensor) -> Tensor:
        """logit F of the x that is wanted; finite for every z of the noise, its ends included."""
        if self.output == "logistic":
            return z
        if self.output == "normal":
            return log_ndtr(z) - log_ndtr(-z)
        kind = torch.finfo(z.dtype)
        z = z.clamp(kind.tiny, 1 - kind.eps / 2)
        return torch.log(z) - torch.log1p(-z)

    def inverse(self, z: Tensor, parameters: Tensor) -> Tensor:
        """z to x, with gradients by the implicit function theorem."""
        mixture = self.mixture(parameters)
        target = self.logit_of(z)
        with torch.no_grad():
            x = self.solve(target, mixture)
        log_below, log_above, log_density = self.log_probabilities(x, mixture)
        error = log_below - log_above - target
        slope = torch.exp(log_density - log_below - log_above).clamp_min(torch.finfo(x.dtype).tiny)
        return x - (error - error.detach()) / slope.detach()

    def solve(self, target: Tensor, mixture: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        """The x with logit F(x) = target, by Newton's method kept within a bracket that is halved where Newton is slow.

        The bracket is exact: at the smallest of the components' own solutions no component's CDF is above the target, at the largest none
        is below. Each number's steps are a function of that number alone, and those that are done wait unchanged.
        """
        _, means, log_scales = mixture
        own = means + torch.exp(log_scales) * quantile(logsigmoid(target), logsigmoid(-target), self.family).unsqueeze(1)
        low, high = own.amin(1), own.amax(1)
        x, last_step = 0.5 * (low + high), high - low
        kind = torch.finfo(x.dtype)
        done = torch.zeros_like(x, dtype=torch.bool)
        for _ in range(MAX_ITERATIONS):
            log_below, log_above, log_density = self.log_probabilities(x, mixture)
            error = log_below - log_above - target
            done |= error.abs() <= 4 * kind.eps * (log_below.abs() + log_above.abs())  # what is left is rounding
            low, high = torch.where(error <= 0, x, low), torch.where(error >= 0, x, high)
            step = -error * torch.exp(log_below + log_above - log_density)
            slow = ~((x + step > low) & (x + step < high) & (step.abs() < 0.5 * last_step))
            step = torch.where(slow, 0.5 * (low + high) - x, step)
            x, last_step = torch.where(done, x, x + step), step.abs()
            done |= last_step <= kind.eps * x.abs()
            if done.all():
                break
        return x


class MixtureCDFAffine(MixtureCDF):
    r"""Flow++'s function (Ho et al., 2019, arXiv:1902.00275): :math:`z = e^a\, \mathrm{logit} F(x) + b`, with a = tanh(r).

    The tanh is that of the authors' code. The first two parameters are r and b, those of the mixture follow.

    Args:
        event_shape: as for every :class:`~lightning_gen.bijections.transforms.Transform`.
        num_components: K.
    """

    def __init__(self, event_shape: tuple[int, ...], num_components: int = 32) -> None:
        super().__init__(event_shape, num_components)
        self.num_parameters = 2 + 3 * num_components

    def forward(self, x: Tensor, parameters: Tensor) -> tuple[Tensor, Tensor]:
        z, log_slope = super().forward(x, parameters[:, 2:])
        a = torch.tanh(parameters[:, 0])
        return torch.exp(a) * z + parameters[:, 1], log_slope + a

    def inverse(self, z: Tensor, parameters: Tensor) -> Tensor:
        return super().inverse((z - parameters[:, 1]) * torch.exp(-torch.tanh(parameters[:, 0])), parameters[:, 2:])


def quantile(log_below: Tensor, log_above: Tensor, family: Family) -> Tensor:
    """The standard logistic's or normal's x with CDF F(x), from log F and log(1 - F)."""
    return log_below - log_above if family == "logistic" else probit(log_below, log_above)


def probit(log_below: Tensor, log_above: Tensor) -> Tensor:
    r"""The standard normal quantile :math:`\Phi^{-1}(F)`, from log F and log(1 - F): accurate where F itself would be 0 or 1.

    Newton's method on :math:`\log \Phi` goes on where the smaller tail has no float any more; gradients are those of the implicit function.
    """
    upper = log_above < log_below
    tail = torch.where(upper, log_above, log_below)  # at most log 1/2
    with torch.no_grad():
        floor = math.log(torch.finfo(tail.dtype).tiny)
        far = tail < floor
        distant = -2 * tail.clamp_max(floor)
        start = -torch.sqrt(distant - torch.log(2 * math.pi * distant))  # Phi(z) is about phi(z) / -z there
        z = torch.where(far, start, ndtri(torch.exp(tail.clamp_min(floor))))
        if far.any():
            for _ in range(4):
                z = torch.where(far, z - (log_ndtr(z) - tail) * mills_ratio(z), z)
        slope = mills_ratio(z)
    z = z + (tail - tail.detach()) * slope
    return torch.where(upper, -z, z)


def mills_ratio(z: Tensor) -> Tensor:
    r"""Phi(z) / phi(z) of a z that is not far above 0: 1 over the slope of log Phi."""
    return math.sqrt(math.pi / 2) * erfcx(-z / math.sqrt(2))
