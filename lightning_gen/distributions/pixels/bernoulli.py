r"""Binary pixels."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import softplus

from lightning_gen.distributions.pixels.base import PixelDistribution, in_full_precision
from lightning_gen.errors import UserError


class Bernoulli(PixelDistribution):
    r"""Black or white: :math:`\log P(x) = \sum_d x_d l_d - \log(1 + e^{l_d})` with logits l. For binarized data only.

    Args:
        channels, num_bits: as for every :class:`PixelDistribution`; ``num_bits`` has to be 1.
    """

    num_parameters = 1

    def __init__(self, channels: int, num_bits: int) -> None:
        super().__init__(channels, num_bits)
        if num_bits != 1:
            advice = "set data.binarization (dynamic, static, threshold) or data.num_bits 1"
            raise UserError(f"model.output: Bernoulli needs binary images, got {num_bits} bits; {advice}")

    def log_prob(self, parameters: Tensor, levels: Tensor) -> Tensor:
        logits = in_full_precision(parameters)
        return (levels * logits - softplus(logits)).flatten(1).sum(1)

    def draw(self, parameters: Tensor, u: Tensor) -> Tensor:
        return (u < in_full_precision(parameters).sigmoid()).long()
