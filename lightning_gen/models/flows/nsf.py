r"""Neural spline flows (Durkan, Bekasov, Murray & Papamakarios, 2019, arXiv:1906.04032).

Implemented: monotonic rational-quadratic splines on [-B, B] with identity tails, in couplings (RQ-NSF (C)) and in autoregressive layers
(RQ-NSF (AR)); between two of them a learned linear map with an LU decomposition and a fixed permutation; of images Glow's multi-scale
architecture of squeeze, steps of ActNorm, 1x1 convolution and coupling, one more 1x1 convolution, and half of the channels factored out.

Deviations: residual networks have weight normalisation and neither batch normalisation nor dropout, networks of vectors are plain ones
without residual connections; ActNorm stands in front of every layer of vectors too, so that data need not be standardised beforehand;
images pass the logit, where the authors' code shifts them to [-0.5, 0.5]: a spline whose tails are the identity can then put no mass beyond
black and white; the learning rate falls linearly, not as a cosine. Not implemented: splines of lower parts that depend on no others (the
option ``apply_unconditional_transform``), and a uniform base with splines on the unit interval.
"""

from __future__ import annotations

import math
from typing import Any

from lightning_gen.bijections.autoregressive import Autoregressive
from lightning_gen.bijections.base import Bijection, Chain
from lightning_gen.bijections.convolution import LUConvolution
from lightning_gen.bijections.coupling import SplitCoupling
from lightning_gen.bijections.factor_out import FactorOut
from lightning_gen.bijections.logit import Logit
from lightning_gen.bijections.normalization import ActNorm
from lightning_gen.bijections.shapes import Flatten, Squeeze, halvings, squeezed
from lightning_gen.bijections.spline import RationalQuadraticSpline
from lightning_gen.errors import UserError
from lightning_gen.images import is_image
from lightning_gen.models.flows.normalizing_flow import NormalizingFlow
from lightning_gen.models.hyperparameters import require_at_least, require_default, require_scales
from lightning_gen.nn.conditioner import MLPConditioner, WeightNormResNet
from lightning_gen.nn.conv import resolution_levels
from lightning_gen.nn.masked import MaskedMLP


class SplineFlow(NormalizingFlow):
    r"""What both forms share: steps of ActNorm, a learned linear map and a layer of splines.

    Args:
        data_shape: as for every :class:`GenerativeModel`.
        width: channels of the residual networks (units of the hidden layers for vectors).
        num_blocks: residual blocks of each network (hidden layers for vectors).
        num_steps: steps, of images at each level.
        num_bins: K, bins of each spline.
        bound: B, where a spline's tails begin.
        alpha: of the logit of images.
        **options: as for every :class:`NormalizingFlow`.
    """

    paper = "Durkan, Bekasov, Murray & Papamakarios 2019, arXiv:1906.04032"

    def __init__(
        self,
        data_shape: list[int],
        width: int = 96,
        num_blocks: int = 3,
        num_steps: int = 7,
        num_bins: int = 4,
        bound: float = 3.0,
        alpha: float = 0.05,
        **options: Any,
    ) -> None:
        super().__init__(data_shape, **options)

    def steps(self, shape: tuple[int, ...], name: str) -> list[Bijection]:
        """Steps at one resolution and a last linear map; the name keys the matrices with which the linear maps start."""
        require_at_least(1, width=self.hparams.width, num_blocks=self.hparams.num_blocks, num_steps=self.hparams.num_steps)
        layers: list[Bijection] = []
        for step in range(self.hparams.num_steps):
            layers += [ActNorm(shape[0], len(shape)), LUConvolution(shape[0], name, step), self.splines(shape)]
        return [*layers, LUConvolution(shape[0], name, self.hparams.num_steps)]

    def splines(self, shape: tuple[int, ...]) -> Bijection:
        """One layer of splines."""
        raise NotImplementedError(f"{type(self).__name__} has to implement splines")

    def spline(self, shape: tuple[int, ...]) -> RationalQuadraticSpline:
        """What is done to every number that a layer changes."""
        return RationalQuadraticSpline(shape, self.hparams.num_bins, self.hparams.bound)


class NSF(SplineFlow):
    r"""Couplings of splines, RQ-NSF (C), at several scales: one half of the channels chooses the splines of the other half.

    Args:
        data_shape: as for every :class:`GenerativeModel`, of at least two numbers; sides have to be even as often as there are levels.
        num_levels: levels of an image's flow; 0 for as many as the sides allow, down to 4 pixels, and two where they can be: 2 at 8 and 28
            pixels, 3 at 32. Vectors have one.
        **options: as for every :class:`SplineFlow`.
    """

    def __init__(self, data_shape: list[int], num_levels: int = 0, **options: Any) -> None:
        super().__init__(data_shape, **options)

    def build_bijection(self) -> Bijection:
        if self.data_shape == (1,):
            raise UserError("model.data_shape: NSF's couplings need at least two numbers, got [1]; AutoregressiveNSF takes one")
        if not is_image(self.data_shape):
            require_default("vectors have one level", num_levels=(self.hparams.num_levels, 0))
            return Chain(self.steps(self.data_shape, "vectors"))
        self.latent_shapes = {}
        levels = self.hparams.num_levels or resolution_levels(self.data_shape)[0]
        require_scales(self.data_shape, halvings(self.data_shape), num_levels=levels)
        return Chain([Logit(self.hparams.alpha), self.level(self.data_shape, 1, levels)])

    def level(self, shape: tuple[int, ...], number: int, levels: int) -> Bijection:
        """The flow from one level on: images of a shape to flat noise."""
        deep = squeezed(shape)
        layers = [Squeeze(), *self.steps(deep, f"level {number}")]
        if number == levels:
            self.latent_shapes[f"z_{number}"] = deep
            return Chain([*layers, Flatten(deep)])
        early = (deep[0] // 2, *deep[1:])
        self.latent_shapes[f"z_{number}"] = early
        return Chain([*layers, FactorOut(early, self.level((deep[0] - early[0], *deep[1:]), number + 1, levels))])

    def splines(self, shape: tuple[int, ...]) -> Bijection:
        changing = shape[0] // 2
        passing = shape[0] - changing
        spline = self.spline((changing, *shape[1:]))
        width, blocks, parameters = self.hparams.width, self.hparams.num_blocks, spline.num_parameters * changing
        if not is_image(shape):
            return SplitCoupling(MLPConditioner((passing,), parameters, [width] * blocks), spline)
        return SplitCoupling(WeightNormResNet(passing, parameters, width, blocks), spline)


class AutoregressiveNSF(SplineFlow):
    r"""Autoregressive layers of splines, RQ-NSF (AR): all earlier numbers choose the spline of each; images are flat.

    Its density is one pass; to sample, each layer is solved for (:class:`~lightning_gen.bijections.autoregressive.Autoregressive`).

    Args:
        data_shape: as for every :class:`GenerativeModel`.
        **options: as for every :class:`SplineFlow`; ``num_blocks`` are hidden layers.
    """

    def __init__(self, data_shape: list[int], **options: Any) -> None:
        super().__init__(data_shape, **options)

    def build_bijection(self) -> Bijection:
        first = [Logit(self.hparams.alpha), Flatten(self.data_shape)] if is_image(self.data_shape) else []
        return Chain([*first, *self.steps((math.prod(self.data_shape),), "autoregressive")])

    def splines(self, shape: tuple[int, ...]) -> Bijection:
        spline = self.spline(shape)
        network = MaskedMLP(shape[0], spline.num_parameters, [self.hparams.width] * self.hparams.num_blocks)
        return Autoregressive(network, spline)
