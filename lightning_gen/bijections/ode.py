r"""The flow of an ordinary differential equation as a bijection (continuous normalizing flow; FFJORD, arXiv:1810.01367).

.. math:: \frac{dz}{dt} = f(z, t), \qquad \log\left|\det \frac{dz(1)}{dz(0)}\right| = \int_0^1 \mathrm{tr} \frac{\partial f}{\partial z} dt

A solver follows z and the integral together. What comes out depends on the solver as much as on f, hence how it is done in training and in
evaluation is stated apart (:class:`Integration`). An adaptive solver chooses its steps by an error over the whole batch, so an item's
result depends on the items beside it; on a fixed grid of steps it does not, which is why that is the default in evaluation.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from lightning_gen.bijections.base import Bijection, sum_event, wide, zero_log_det
from lightning_gen.errors import UserError
from lightning_gen.nn.ode_network import VectorField
from lightning_gen.noise import Noise

Solver = Literal["rk4", "dopri5"]
Trace = Literal["exact", "hutchinson"]
Gradient = Literal["backpropagation", "adjoint"]

MAX_STEPS = 1000
"""Steps after which an adaptive solver gives up: a field that needs more is stiff."""


@dataclass(frozen=True)
class Integration:
    r"""How a path is followed, and how the trace of df/dz is computed along it.

    Args:
        solver: ``rk4``, so many equal steps of four evaluations each, or ``dopri5``, steps of six evaluations as the tolerance asks.
        num_steps: of ``rk4``.
        tolerance: of ``dopri5``, absolute and relative, for the root mean square over the batch.
        trace: ``exact`` by one vector-Jacobian product per dimension; or ``hutchinson``,
            :math:`\epsilon^\top \frac{\partial f}{\partial z} \epsilon` with one draw of random signs for the whole path, unbiased.
    """

    solver: Solver = "rk4"
    num_steps: int = 4
    tolerance: float = 1e-5
    trace: Trace = "hutchinson"

    def __str__(self) -> str:
        return f"rk4, {self.num_steps} steps" if self.solver == "rk4" else f"dopri5, tolerance {self.tolerance:g}"

    @property
    def options(self) -> dict[str, Any]:
        """What torchdiffeq is told."""
        if self.solver == "rk4":
            # Not step_size: its grid has one step too many where the quotient is rounded up.
            return {"grid_constructor": lambda field, state, t: torch.linspace(float(t[0]), float(t[-1]), self.num_steps + 1).to(t)}
        return {"norm": norm, "max_num_steps": MAX_STEPS}


class PathCost(NamedTuple):
    r"""What the regularisers of RNODE penalise (Finlay et al., 2020, arXiv:2002.02798), of each item, ``(B,)``.

    .. math:: K = \int_0^1 \|f\|^2 dt, \qquad J = \int_0^1 \|\epsilon^\top \tfrac{\partial f}{\partial z}\|^2 dt

    With an exact trace, J is its expectation over the signs: the squared Frobenius norm.
    """

    kinetic: Tensor
    jacobian: Tensor


class FieldWithTrace(nn.Module):
    """A field and the trace of its Jacobian in one module, to be compiled as one: a compiled network has no second derivatives.

    Args:
        field: f.
    """

    chunk = 64
    """Vector-Jacobian products that are computed together."""

    def __init__(self, field: VectorField) -> None:
        super().__init__()
        self.field = field

    def forward(self, t: Tensor, z: Tensor, signs: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """f ``(B, *event)``, the trace ``(B,)`` and the squared norm in J ``(B,)``; exact without signs."""
        velocity, pull = torch.func.vjp(lambda at: self.field(t, at), z)[:2]
        if signs is None:
            trace, square = self.exact(pull, z)
            return velocity, trace, square
        (row,) = pull(signs)
        return velocity, sum_event(row * signs), sum_event(row.square())

    def exact(self, pull: Callable[[Tensor], tuple[Tensor]], z: Tensor) -> tuple[Tensor, Tensor]:
        """Trace and squared Frobenius norm from every row of the Jacobian."""
        trace = square = zero_log_det(z)
        size = z[0].numel()
        for some in torch.eye(size, dtype=z.dtype, device=z.device).split(self.chunk):
            units = some.view(-1, 1, *z.shape[1:]).expand(-1, *z.shape)
            rows = torch.vmap(lambda unit: pull(unit)[0])(units)  # (chunk, B, *event): row i of every item's Jacobian
            trace = trace + (rows * units).flatten(2).sum((0, 2))
            square = square + rows.square().flatten(2).sum((0, 2))
        return trace, square


class ODEFlow(Bijection):
    """The flow of a field from time 0, at the data, to time 1; the context is not used.

    Runs in float32 at least, without autocast: rounded velocities would be errors that no step makes small. The number of evaluations of
    f in the last call of each kind stands in ``num_evaluations``.

    Args:
        field: f, smooth in z; it may depend on the item alone (no batch statistics).
        in_training: how the path is followed in training mode.
        in_evaluation: how in evaluation mode; None for the same.
        gradient: ``backpropagation`` through the solver's steps, the gradient of what was computed, with memory in proportion to the
            evaluations of f; or ``adjoint``, which solves a second equation backwards (Chen et al., 2018, arXiv:1806.07366) with the same
            solver: memory does not grow, and the gradient has an error of the size of the solver's.
        name: of the draw of signs, different for each layer of a model.
    """

    costs: list[PathCost] | None = None
    wants_log_det = True

    def __init__(
        self,
        field: VectorField,
        in_training: Integration = Integration(),
        in_evaluation: Integration | None = None,
        gradient: Gradient = "backpropagation",
        name: str = "trace",
    ) -> None:
        super().__init__()
        self.network = FieldWithTrace(field)
        self.in_training = in_training
        self.in_evaluation = in_evaluation or in_training
        self.gradient = gradient
        self.name = name
        self.num_evaluations = {"forward": 0, "inverse": 0}

    @property
    def integration(self) -> Integration:
        """How the path is followed now."""
        return self.in_training if self.training else self.in_evaluation

    def forward(self, x: Tensor, context: Tensor | None = None, noise: Noise | None = None) -> tuple[Tensor, Tensor]:
        x = x.to(wide(x))
        if not self.wants_log_det:
            return self.path(x, "forward"), zero_log_det(x)
        signs = None
        if noise is not None and self.integration.trace == "hutchinson":
            signs = random_signs(noise, self.name, tuple(x.shape[1:])).to(x)

        def rates(t: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            velocity, trace, square = self.network(t, state[0], signs)
            return (velocity, trace, sum_event(velocity.square()), square)[: len(state)]

        zeros = [zero_log_det(x)] * (1 if self.costs is None else 3)
        z, log_det, *cost = self.solve(rates, (x, *zeros), "forward")
        if self.costs is not None:
            self.costs.append(PathCost(*cost))
        return z, log_det

    def inverse(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        return self.path(z.to(wide(z)), "inverse")

    def path(self, start: Tensor, direction: Literal["forward", "inverse"], share: float = 1.0) -> Tensor:
        """Where the path from a point ends, or is after a share of the time, without the log-determinant."""
        return self.solve(lambda t, state: (self.network.field(t, state[0]),), (start,), direction, share)[0]

    def solve(
        self,
        rates: Callable[[Tensor, tuple[Tensor, ...]], tuple[Tensor, ...]],
        start: tuple[Tensor, ...],
        direction: Literal["forward", "inverse"],
        share: float = 1.0,
    ) -> tuple[Tensor, ...]:
        """The state at the other end of the path, or after a share of it.

        Raises:
            UserError: an adaptive solver finds no step that is small enough.
        """
        from torchdiffeq import odeint, odeint_adjoint

        how, count, last = self.integration, 0, start

        def counted(t: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            nonlocal count, last
            count, last = count + 1, rates(t, state)
            return last

        ends = torch.tensor([0.0, share] if direction == "forward" else [1.0, 1.0 - share]).to(start[0])
        integrate = odeint
        if self.gradient == "adjoint" and torch.is_grad_enabled():
            integrate = partial(odeint_adjoint, adjoint_params=tuple(self.network.parameters()))
        with torch.autocast(start[0].device.type, enabled=False):
            try:
                path = integrate(counted, start, ends, rtol=how.tolerance, atol=how.tolerance, method=how.solver, options=how.options)
            except AssertionError as error:  # what torchdiffeq raises where an adaptive solver fails
                if all(torch.isfinite(values).all() for values in last):
                    raise UserError(
                        f"tolerance: {how.solver} cannot keep {how.tolerance:g} in {start[0].dtype} ({error});"
                        " expected a larger tolerance, solver rk4, or trainer.precision 64-true"
                    ) from error
                # NaN that gradients pass, so that the loss says so like any other, also where nobody looks at it before the next steps.
                bad = torch.nan * sum(parameter.sum() for parameter in self.network.parameters())
                path = [(values + bad).unsqueeze(0) for values in start]
        self.num_evaluations[direction] = count
        return tuple(values[-1] for values in path)


def norm(state: tuple[Tensor, ...]) -> Tensor:
    """The error that an adaptive solver keeps below its tolerance: of z and of the log-determinant; the regularisers steer no step."""
    return torch.stack([values.square().mean().sqrt() for values in state[:2]]).max()


def random_signs(noise: Noise, name: str, shape: tuple[int, ...]) -> Tensor:
    """-1 or 1 with equal probability (Rademacher), ``(B, *shape)``: of all noise the one with the least variance of the trace."""
    return 2.0 * (noise.uniform(name, shape) < 0.5) - 1


def ode_layers(module: nn.Module) -> list[ODEFlow]:
    """Every :class:`ODEFlow` of a module, in order."""
    return [layer for layer in module.modules() if isinstance(layer, ODEFlow)]


@contextlib.contextmanager
def recorded_costs(module: nn.Module) -> Iterator[list[PathCost]]:
    """A list to which every :class:`ODEFlow` of ``module`` adds what its path costs; elsewhere they are not integrated."""
    costs: list[PathCost] = []
    layers = ode_layers(module)
    for layer in layers:
        layer.costs = costs
    try:
        yield costs
    finally:
        for layer in layers:
            layer.costs = None


@contextlib.contextmanager
def without_log_det(module: nn.Module) -> Iterator[None]:
    """Every :class:`ODEFlow` of ``module`` says 0 of its log-determinant, which costs much more than z."""
    layers = ode_layers(module)
    for layer in layers:
        layer.wants_log_det = False
    try:
        yield
    finally:
        for layer in layers:
            layer.wants_log_det = True
