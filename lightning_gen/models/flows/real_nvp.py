r"""RealNVP (Dinh, Sohl-Dickstein & Bengio, 2016, arXiv:1605.08803).

Implemented: affine couplings with checkerboard and channel-wise masks, s = gain * tanh(r), the multi-scale architecture (three checkerboard
couplings, squeeze, three channel-wise couplings, half of the channels factored out, and so on; four checkerboard couplings at the last
scale), residual networks with weight normalisation, batch normalisation as a bijection after every coupling, the logit of the data, and the
L2 penalty on the weight norms' scales. Half-split masks (top and bottom, left and right) are an option for comparison. Of vectors: the same
couplings with alternating masks and fully connected networks at one scale.

Deviations: no batch normalisation inside the couplings' networks; ActNorm in place of batch normalisation where it is asked for; the
statistics of batch normalisation in training are the batch's alone.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import torch

from lightning_gen.bijections.base import Bijection, Chain
from lightning_gen.bijections.coupling import Coupling
from lightning_gen.bijections.factor_out import FactorOut
from lightning_gen.bijections.logit import Logit
from lightning_gen.bijections.masks import MaskName, mask
from lightning_gen.bijections.normalization import ActNorm, BatchNormalization
from lightning_gen.bijections.shapes import Flatten, Squeeze, halvings, squeezed
from lightning_gen.bijections.transforms import TanhAffine
from lightning_gen.errors import UserError
from lightning_gen.images import is_image
from lightning_gen.models.flows.normalizing_flow import NormalizingFlow
from lightning_gen.models.hyperparameters import require_at_least, require_default, require_scales
from lightning_gen.nn.conditioner import MLPConditioner, WeightNormResNet


class RealNVP(NormalizingFlow):
    r"""Affine couplings at several scales.

    .. math:: z = b \odot x + (1 - b) \odot \big(x \odot e^{s(b \odot x)} + t(b \odot x)\big)

    Args:
        data_shape: as for every :class:`GenerativeModel`; sides have to be even as often as there are scales.
        width: channels of the residual networks at the first scale, doubled at each further one (units of the hidden layers for vectors).
        num_blocks: residual blocks of each network (hidden layers for vectors).
        num_scales: scales; 0 for as many as the sides allow, down to 4 pixels. Vectors have one.
        num_couplings: couplings of a vector's flow; images have 3 + 3 at each scale, and 4 at the last.
        spatial_mask: ``checkerboard``, or ``half_split`` for the halves of the image in turn.
        normalization: what follows each coupling.
        alpha: of the logit.
        weight_norm_decay: the L2 penalty on the scales of the weight norms.
        **options: as for every :class:`NormalizingFlow`.
    """

    paper = "Dinh, Sohl-Dickstein & Bengio 2016, arXiv:1605.08803"

    def __init__(
        self,
        data_shape: list[int],
        width: int = 64,
        num_blocks: int = 8,
        num_scales: int = 0,
        num_couplings: int = 8,
        spatial_mask: Literal["checkerboard", "half_split"] = "checkerboard",
        normalization: Literal["BatchNormalization", "ActNorm"] = "BatchNormalization",
        alpha: float = 0.05,
        weight_norm_decay: float = 5e-5,
        **options: Any,
    ) -> None:
        super().__init__(data_shape, **options)
        require_at_least(0, weight_norm_decay=weight_norm_decay)

    def build_bijection(self) -> Bijection:
        require_at_least(1, width=self.hparams.width, num_blocks=self.hparams.num_blocks, num_couplings=self.hparams.num_couplings)
        self.require_two_to_divide()
        if not is_image(self.data_shape):
            spatial = {"num_scales": (self.hparams.num_scales, 0), "spatial_mask": (self.hparams.spatial_mask, "checkerboard")}
            require_default("vectors have one scale and alternating masks", **spatial)
            couplings = [self.coupling(self.data_shape, "alternate", flip) for flip in alternate(self.hparams.num_couplings)]
            return Chain([layer for pair in couplings for layer in pair])
        require_default("images have 3 + 3 couplings at each scale, and 4 at the last", num_couplings=(self.hparams.num_couplings, 8))
        require_scales(self.data_shape, 1 + halvings(self.data_shape, smallest=2), num_scales=self.hparams.num_scales)
        scales = self.hparams.num_scales or possible_scales(self.data_shape)
        self.latent_shapes = {}
        return Chain([Logit(self.hparams.alpha), self.scale(self.data_shape, 1, scales)])

    def require_two_to_divide(self) -> None:
        """Refuse data of which a mask has nothing to leave or nothing to change."""
        divided = self.data_shape[1:] if is_image(self.data_shape) else self.data_shape
        if math.prod(divided) < 2:
            raise UserError(f"model.data_shape: RealNVP needs at least two numbers or pixels to divide, got {list(self.data_shape)}")
        if self.hparams.spatial_mask == "half_split" and min(divided) < 2:
            raise UserError(f"model.spatial_mask: half_split needs two rows and two columns, got images {list(self.data_shape)}")

    def scale(self, shape: tuple[int, ...], number: int, scales: int) -> Bijection:
        """The flow from one scale on: images of a shape to flat noise."""
        if number == scales:
            self.latent_shapes[f"z_{number}"] = shape
            return Chain([*self.spatial(shape, 4, number), Flatten(shape)])
        deep = squeezed(shape)
        channelwise = [layer for flip in alternate(3) for layer in self.coupling(deep, "channel", flip, number + 1)]
        early = (deep[0] // 2, *deep[1:])
        self.latent_shapes[f"z_{number}"] = early
        rest = self.scale((deep[0] - early[0], *deep[1:]), number + 1, scales)
        return Chain([*self.spatial(shape, 3, number), Squeeze(), *channelwise, FactorOut(early, rest)])

    def spatial(self, shape: tuple[int, ...], count: int, scale: int) -> list[Bijection]:
        """Couplings whose masks divide the pixels."""
        if self.hparams.spatial_mask == "checkerboard":
            divisions: list[tuple[MaskName, bool]] = [("checkerboard", flip) for flip in alternate(count)]
        else:
            divisions = [("top_bottom", False), ("top_bottom", True), ("left_right", False), ("left_right", True)][:count]
        return [layer for name, flip in divisions for layer in self.coupling(shape, name, flip, scale)]

    def coupling(self, shape: tuple[int, ...], name: MaskName, flip: bool, scale: int = 1) -> list[Bijection]:
        """One coupling, and what normalises its output."""
        normalization = ActNorm(shape[0], len(shape)) if self.hparams.normalization == "ActNorm" else BatchNormalization(shape[0])
        return [Coupling(mask(name, shape, flip), self.network(shape, scale), TanhAffine(shape)), normalization]

    def network(self, shape: tuple[int, ...], scale: int) -> WeightNormResNet | MLPConditioner:
        """s and t of one coupling."""
        width, blocks = self.hparams.width, self.hparams.num_blocks
        if not is_image(shape):
            return MLPConditioner(shape, 2 * math.prod(shape), [width] * blocks)
        return WeightNormResNet(shape[0], 2 * shape[0], width << (scale - 1), blocks)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        norms = [parameter for name, parameter in self.named_parameters() if name.endswith("weight.original0") and parameter.requires_grad]
        known = {id(parameter) for parameter in norms}
        others = [parameter for parameter in self.trained_parameters() if id(parameter) not in known]
        groups = [{"params": others}] + ([{"params": norms, "weight_decay": self.hparams.weight_norm_decay}] if norms else [])
        return torch.optim.Adam(groups, lr=self.hparams.learning_rate, weight_decay=self.hparams.weight_decay)


def alternate(count: int) -> list[bool]:
    """Whether each of so many masks is flipped: every second one."""
    return [index % 2 == 1 for index in range(count)]


def possible_scales(data_shape: tuple[int, ...]) -> int:
    """How many scales an image has: it is halved while its sides are even and above 4 pixels."""
    _, height, width = data_shape
    scales = 1
    while height % 2 == 0 and width % 2 == 0 and min(height, width) > 4:
        height, width, scales = height // 2, width // 2, scales + 1
    return scales
