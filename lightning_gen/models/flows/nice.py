r"""NICE (Dinh, Krueger & Bengio, 2014, arXiv:1410.8516).

Implemented: additive couplings that divide the dimensions into the first, third, ... and the second, fourth, ..., which change in turn;
fully connected ReLU networks; a diagonal scale at the end; the logistic prior, for the density and for samples; Adam with the paper's
settings; dequantized data as they are, as the paper has MNIST. Images are flattened, row by row.

Not implemented: the whitening that the paper uses for the other image sets, and inpainting. Deviation: the couplings' last layers start at
zero. Of an odd number of dimensions one more passes than changes, and the division moves on by one from coupling to coupling.
"""

from __future__ import annotations

import math
from typing import Any

import torch

from lightning_gen.bijections.base import Bijection, Chain
from lightning_gen.bijections.coupling import SplitCoupling
from lightning_gen.bijections.scaling import Scaling
from lightning_gen.bijections.shapes import Flatten, Permutation
from lightning_gen.bijections.transforms import Additive
from lightning_gen.distributions.standard import StandardLogistic
from lightning_gen.errors import UserError
from lightning_gen.images import is_image
from lightning_gen.models.flows.normalizing_flow import NormalizingFlow
from lightning_gen.models.hyperparameters import require_at_least
from lightning_gen.nn.conditioner import MLPConditioner


class NICE(NormalizingFlow):
    r"""Additive couplings of the two halves of the dimensions, and a scale for each number.

    .. math:: \log p(y) = \sum_i \log p_{\text{logistic}}(z_i) + \sum_i s_i, \qquad z = e^{s} \odot (x_a,\ x_b + m(x_a)),

    with one coupling; further ones exchange a and b.

    Args:
        data_shape: as for every :class:`GenerativeModel`.
        hidden: widths of the hidden layers of each coupling's network; five of 1000 for MNIST.
        num_couplings: additive couplings; four in the paper.
        **options: as for every :class:`NormalizingFlow`.
    """

    paper = "Dinh, Krueger & Bengio 2014, arXiv:1410.8516"

    def __init__(self, data_shape: list[int], hidden: list[int] = [1000] * 5, num_couplings: int = 4, **options: Any) -> None:
        super().__init__(data_shape, **options)

    def build_bijection(self) -> Bijection:
        require_at_least(1, num_couplings=self.hparams.num_couplings)
        size = math.prod(self.data_shape)
        if size < 2:
            raise UserError(f"model.data_shape: NICE needs at least two numbers to divide, got {list(self.data_shape)}")
        passing, changing = size - size // 2, size // 2
        layers: list[Bijection] = [Flatten(self.data_shape)] if is_image(self.data_shape) else []
        order = torch.cat([torch.arange(0, size, 2), torch.arange(1, size, 2)])
        for _ in range(self.hparams.num_couplings):
            network = MLPConditioner((passing,), changing, self.hparams.hidden)
            layers += [Permutation(order), SplitCoupling(network, Additive((changing,)))]
            order = torch.arange(size).roll(-passing)  # what changed passes in the next one
        return Chain([*layers, Scaling((size,))])

    def prior(self, labels: torch.Tensor | None = None) -> StandardLogistic:
        """Logistic, not normal."""
        return StandardLogistic()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """The paper's Adam: "momentum 0.9, beta_2 = 0.01", which counts from 1 in Adam's published form, and epsilon = 1e-4."""
        settings = {"lr": self.hparams.learning_rate, "weight_decay": self.hparams.weight_decay}
        return torch.optim.Adam(self.trained_parameters(), betas=(0.9, 0.99), eps=1e-4, **settings)
