r"""Flow++ (Ho, Chen, Srinivas, Duan & Abbeel, 2019, arXiv:1902.00275).

Implemented: couplings by the CDF of a mixture of logistics, its logit, and an affine map; networks of gated convolutions and attention;
four couplings of the colours of a checkerboard, two of the channels after a squeeze, three of the colours again, all at one scale, with
ActNorm and 1x1 convolutions of each half in front of each; variational dequantization.

Deviations: ActNorm has one scale and shift per channel (the authors' code: one per number), and the networks' weights are not scaled by
the first batch (see :mod:`lightning_gen.nn.gated_attention`). The authors' code splits even from odd columns where the paper has a
checkerboard; this is a checkerboard. Where the halves have one channel there is nothing to mix, and no 1x1 convolution.
"""

from __future__ import annotations

from typing import Any

from lightning_gen.bijections.base import Bijection, Chain, Inverse
from lightning_gen.bijections.checkerboard import CheckerboardSplit, checkerboard_split
from lightning_gen.bijections.logit import Logit
from lightning_gen.bijections.shapes import Flatten, Squeeze, squeezed
from lightning_gen.errors import UserError
from lightning_gen.images import is_image
from lightning_gen.models.flows.normalizing_flow import NormalizingFlow
from lightning_gen.models.flows.variational_dequantization import mixture_step
from lightning_gen.models.hyperparameters import require_at_least
from lightning_gen.registry import ClassSpec


class FlowPP(NormalizingFlow):
    r"""Mixture-of-logistics couplings with attention.

    .. math:: z_2 = e^{a}\, \mathrm{logit}\Big(\sum_k \pi_k \sigma\big((x_2 - \mu_k) e^{-s_k}\big)\Big) + b, \qquad
        (a, b, \pi, \mu, s) = N(x_1)

    Args:
        data_shape: images; their height is even, their width a multiple of 4.
        width: channels of the couplings' networks.
        num_blocks: blocks of each, a gated convolution and an attention.
        num_components: K.
        num_heads: heads of the attention; 0 for none.
        dropout: of the networks.
        alpha: of the logit of the data.
        dequantization: as for every :class:`NormalizingFlow`.
        learning_rate, warmup_images: as for every :class:`NormalizingFlow`; the paper's are the defaults (2,000 steps of 64).
        **options: as for every :class:`NormalizingFlow`.
    """

    paper = "Ho, Chen, Srinivas, Duan & Abbeel 2019, arXiv:1902.00275"

    def __init__(
        self,
        data_shape: list[int],
        width: int = 96,
        num_blocks: int = 10,
        num_components: int = 32,
        num_heads: int = 4,
        dropout: float = 0.2,
        alpha: float = 0.05,
        dequantization: ClassSpec | str = "VariationalDequantization",
        learning_rate: float = 3e-4,
        warmup_images: int = 128_000,
        **options: Any,
    ) -> None:
        if not is_image(data_shape) or data_shape[1] % 2 or data_shape[2] % 4:
            # Before the dequantization, which would refuse vectors in its own name.
            raise UserError(f"model.data_shape: FlowPP needs images of even height and a width that 4 divides, got {list(data_shape)}")
        super().__init__(data_shape, dequantization, learning_rate=learning_rate, warmup_images=warmup_images, **options)

    def build_bijection(self) -> Bijection:
        require_at_least(1, num_components=self.hparams.num_components)
        deep = squeezed(self.data_shape)
        shapes = [self.data_shape, deep]
        first, last = (self.between_colours(shape, count) for shape, count in zip(shapes, (4, 3), strict=True))
        return Chain([Logit(self.hparams.alpha), *first, Squeeze(), *self.steps(deep, 2, "channels"), *last, Flatten(deep)])

    def between_colours(self, shape: tuple[int, ...], count: int) -> list[Bijection]:
        """Steps that couple the colours of a checkerboard, from and to images of a shape."""
        return [CheckerboardSplit(), *self.steps(checkerboard_split(shape), count, "checkerboard"), Inverse(CheckerboardSplit())]

    def steps(self, shape: tuple[int, ...], count: int, name: str) -> list[Bijection]:
        """Steps that couple the two halves of the channels."""
        network = {name: self.hparams[name] for name in ("width", "num_blocks", "num_heads", "dropout")}
        keys = [f"{name} {list(shape)} {number}" for number in range(count)]
        return [layer for key in keys for layer in mixture_step(shape, self.hparams.num_components, key, **network)]
