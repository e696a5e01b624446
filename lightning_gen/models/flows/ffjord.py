r"""FFJORD (Grathwohl, Chen, Bettencourt, Sutskever & Duvenaud, 2018, arXiv:1810.01367), with the regularisers of RNODE as options.

Implemented: continuous flows whose trace is Hutchinson's estimate with signs that are fixed along a path, or exact; dopri5 at 1e-5 and
adjoint gradients in training; the multi-scale architecture for images (ODE blocks, squeeze, ODE blocks, half of the channels factored out,
and so on) with convolutions that see the time as a channel; for vectors fully connected "concat squash" fields. RNODE (Finlay, Jacobsen,
Nurbekyan & Oberman, 2020, arXiv:2002.02798): the kinetic energy K and the squared norm J of the Jacobian along the path, weighted into the
loss; that paper trains with 4 steps of rk4 and weights of 0.01.

Deviations: every path has length 1 (the authors' code for toy data learns it); fields start at zero. Evaluation has a
solver of its own, by default a fixed grid: with an adaptive one the likelihood of an image depends on the batch, and so does, by a
last digit, a sample. Not implemented: the batch normalisation between blocks that the authors' code offers; the conditional form.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

from lightning_gen.bijections.base import Bijection, Chain
from lightning_gen.bijections.factor_out import FactorOut
from lightning_gen.bijections.logit import Logit
from lightning_gen.bijections.ode import (
    Gradient,
    Integration,
    ODEFlow,
    PathCost,
    Solver,
    Trace,
    ode_layers,
    recorded_costs,
    without_log_det,
)
from lightning_gen.bijections.shapes import Flatten, Squeeze, halvings, squeezed
from lightning_gen.images import is_image
from lightning_gen.models.base import Batch
from lightning_gen.models.flows.normalizing_flow import NormalizingFlow
from lightning_gen.models.flows.real_nvp import possible_scales
from lightning_gen.models.hyperparameters import require_at_least, require_default, require_positive, require_scales
from lightning_gen.nn.ode_network import ConvField, MLPField, VectorField
from lightning_gen.noise import NamedNoise, Noise


class FFJORD(NormalizingFlow):
    r"""Continuous normalizing flows, trained by maximum likelihood and, optionally, towards paths that are easy to follow.

    .. math:: -\frac1D \Big(\log p(z(1)) + \int_0^1 \mathrm{tr} \frac{\partial f}{\partial z} dt - \lambda_K K - \lambda_J J\Big)

    Args:
        data_shape: as for every :class:`GenerativeModel`; sides have to be even as often as there are scales.
        width: channels (units) of the fields' hidden layers.
        num_layers: hidden layers of each field.
        num_blocks: ODE flows one after the other: of vectors in all, of images before and after each squeeze and at the last scale.
        num_scales: scales; 0 for as many as the sides allow, down to 4 pixels. Vectors have one.
        alpha: of the logit.
        kinetic: :math:`\lambda_K`, 0 for FFJORD; RNODE has 0.01 (of a loss in bits, here in nats).
        jacobian: :math:`\lambda_J`, likewise.
        solver, num_steps, tolerance, trace: in training, see :class:`~lightning_gen.bijections.ode.Integration`.
        gradient: of the training, see :class:`~lightning_gen.bijections.ode.ODEFlow`; ``adjoint`` needs the least memory.
        evaluation_solver, evaluation_num_steps, evaluation_tolerance, evaluation_trace: in evaluation; part of every result. An exact trace
            costs D products per evaluation of a field: ``auto`` takes it for vectors, and Hutchinson's for images. With ``hutchinson`` a
            likelihood is an unbiased estimate, and further samples are averaged: the k-sample bound of estimates would not be a bound.
        **options: as for every :class:`NormalizingFlow`.
    """

    paper = "Grathwohl et al. 2018, arXiv:1810.01367; Finlay et al. 2020, arXiv:2002.02798"

    def __init__(
        self,
        data_shape: list[int],
        width: int = 64,
        num_layers: int = 3,
        num_blocks: int = 2,
        num_scales: int = 0,
        alpha: float = 0.05,
        kinetic: float = 0.0,
        jacobian: float = 0.0,
        solver: Solver = "dopri5",
        num_steps: int = 4,
        tolerance: float = 1e-5,
        trace: Trace = "hutchinson",
        gradient: Gradient = "adjoint",
        evaluation_solver: Solver = "rk4",
        evaluation_num_steps: int = 16,
        evaluation_tolerance: float = 1e-6,
        evaluation_trace: Literal["auto", "exact", "hutchinson"] = "auto",
        **options: Any,
    ) -> None:
        super().__init__(data_shape, **options)
        require_at_least(0, kinetic=kinetic, jacobian=jacobian)

    # The network.

    def build_bijection(self) -> Bijection:
        hparams = self.hparams
        require_at_least(1, num_blocks=hparams.num_blocks, num_steps=hparams.num_steps, evaluation_num_steps=hparams.evaluation_num_steps)
        require_positive(tolerance=hparams.tolerance, evaluation_tolerance=hparams.evaluation_tolerance)
        if not is_image(self.data_shape):
            require_default("vectors have one scale", num_scales=(hparams.num_scales, 0))
            return Chain(self.blocks(self.data_shape, "vector"))
        require_scales(self.data_shape, 1 + halvings(self.data_shape), num_scales=hparams.num_scales)
        self.latent_shapes = {}
        scales = hparams.num_scales or possible_scales(self.data_shape)
        return Chain([Logit(hparams.alpha), self.scale(self.data_shape, 1, scales)])

    def scale(self, shape: tuple[int, ...], number: int, scales: int) -> Bijection:
        """The flow from one scale on: images of a shape to flat noise."""
        blocks = self.blocks(shape, f"scale {number}")
        if number == scales:
            self.latent_shapes[f"z_{number}"] = shape
            return Chain([*blocks, Flatten(shape)])
        deep = squeezed(shape)
        early = (deep[0] // 2, *deep[1:])
        self.latent_shapes[f"z_{number}"] = early
        rest = self.scale((deep[0] - early[0], *deep[1:]), number + 1, scales)
        return Chain([*blocks, Squeeze(), *self.blocks(deep, f"scale {number} squeezed"), FactorOut(early, rest)])

    def blocks(self, shape: tuple[int, ...], place: str) -> list[Bijection]:
        """ODE flows of one shape."""
        training, evaluation, gradient = self.integration(""), self.integration("evaluation_"), self.hparams.gradient
        names = [f"trace, {place}, block {index}" for index in range(self.hparams.num_blocks)]
        return [ODEFlow(self.field(shape), training, evaluation, gradient, name) for name in names]

    def field(self, shape: tuple[int, ...]) -> VectorField:
        """f of one block."""
        width, num_layers = self.hparams.width, self.hparams.num_layers
        return ConvField(shape[0], width, num_layers) if is_image(shape) else MLPField(shape, width, num_layers)

    def integration(self, prefix: str) -> Integration:
        """How paths are followed: by the hyperparameters of this prefix."""
        trace = self.evaluation_trace if prefix else self.hparams.trace
        return Integration(**{name: self.hparams[prefix + name] for name in ("solver", "num_steps", "tolerance")}, trace=trace)

    @property
    def evaluation_trace(self) -> Trace:
        """How the trace is had in evaluation."""
        asked = self.hparams.evaluation_trace
        return ("hutchinson" if is_image(self.data_shape) else "exact") if asked == "auto" else asked

    # Training.

    def negative_log_likelihood(self, batch: Batch, noise: Noise) -> dict[str, Tensor]:
        """The loss with its regularisers, in nats per dimension; K and J per dimension too, and the evaluations of all fields together."""
        with recorded_costs(self.bijection) as costs:
            terms = super().negative_log_likelihood(batch, noise)
        size = batch[0][0].numel()
        total = PathCost(*(torch.stack(parts).sum(0).mean() / size for parts in zip(*costs, strict=True)))
        terms["loss"] = terms["loss"] + self.hparams.kinetic * total.kinetic + self.hparams.jacobian * total.jacobian
        evaluations = torch.tensor(float(self.num_evaluations("forward")), device=self.device)
        return terms | {"kinetic": total.kinetic, "jacobian": total.jacobian, "nfe": evaluations}

    def num_evaluations(self, direction: str) -> int:
        """Evaluations of all fields together when data last became noise (``forward``) or noise data (``inverse``)."""
        return sum(layer.num_evaluations[direction] for layer in ode_layers(self.bijection))

    # Likelihood and latents.

    def log_prob(self, images: Tensor, *, labels: Tensor | None = None, noise: Noise, num_samples: int = 1) -> Tensor:
        """As every flow's; with Hutchinson's trace the mean over samples, since a log-mean-exp of unbiased estimates would be too high."""
        if self.evaluation_trace == "exact":
            return super().log_prob(images, labels=labels, noise=noise, num_samples=num_samples)
        draws = [NamedNoise(noise, f"estimate {sample}") for sample in range(num_samples)]
        return torch.stack([super(FFJORD, self).log_prob(images, labels=labels, noise=draw) for draw in draws]).mean(0)

    def likelihood_kind(self, num_samples: int = 1) -> str:
        """A bound where the trace is estimated, also of vectors: no more can be said of it."""
        return super().likelihood_kind(num_samples) if self.evaluation_trace == "exact" else "lower bound"

    def answer_options(self) -> dict[str, Any]:
        return super().answer_options() | {"solver": str(self.integration("evaluation_")), "trace": self.evaluation_trace}

    def encode(self, images: Tensor, *, labels: Tensor | None = None) -> Tensor:
        with without_log_det(self.bijection):
            return super().encode(images, labels=labels)

    def latent_path(self, z: Tensor, num_points: int, *, labels: Tensor | None = None) -> tuple[Tensor, list[float]]:
        """Of vectors, places on the paths themselves at equal distances in time; of images as every flow's, block by block."""
        if is_image(self.data_shape):
            return super().latent_path(z, num_points, labels=labels)
        blocks = ode_layers(self.bijection)[::-1]
        shares = [point / (num_points - 1) for point in range(num_points)]
        return torch.stack([self.partly_decoded(z, blocks, share * len(blocks)) for share in shares]), shares

    def partly_decoded(self, z: Tensor, blocks: list[ODEFlow], done: float) -> Tensor:
        """Vectors after so many blocks on the way from noise, the last one of them perhaps in part."""
        for number, block in enumerate(blocks):
            if (share := min(done - number, 1.0)) > 0:
                z = block.path(z, "inverse", share)
        return z
