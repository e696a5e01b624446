r"""The masked autoregressive flow (Papamakarios, Pavlakou & Murray, 2017, arXiv:1705.07057).

Implemented: affine autoregressive layers on masked networks, in opposite orders one after the other, batch normalisation as a bijection
after each, the logit of images, and labels as a condition of every layer. The density is one pass per layer; sampling solves for all
numbers of a layer at once (see :mod:`~lightning_gen.bijections.autoregressive`) and is exact. Not implemented: the mixture of Gaussians as
a base.

Deviations: the affine layer is written :math:`e^s x + t`, with s cut smoothly at ±5, where the paper has :math:`(x - \mu) e^{-\alpha}`;
evaluation normalises by running means of the batches' statistics, not by those of the whole training set.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import torch

from lightning_gen.bijections.autoregressive import Autoregressive
from lightning_gen.bijections.base import Bijection, Chain
from lightning_gen.bijections.logit import Logit
from lightning_gen.bijections.normalization import ActNorm, BatchNormalization
from lightning_gen.bijections.shapes import Flatten
from lightning_gen.bijections.transforms import Affine
from lightning_gen.images import is_image
from lightning_gen.models.flows.normalizing_flow import NormalizingFlow
from lightning_gen.models.hyperparameters import require_at_least
from lightning_gen.nn.base import Activation
from lightning_gen.nn.masked import MaskedMLP


class MAF(NormalizingFlow):
    r"""Affine autoregressive layers: fast densities, slow samples.

    .. math:: z_i = e^{s_i(x_{<i})} x_i + t_i(x_{<i})

    Args:
        data_shape: as for every :class:`GenerativeModel`; images are flattened.
        num_layers: autoregressive layers.
        hidden: widths of the hidden layers of each one's masked network.
        activation: their nonlinearity.
        normalization: what follows each layer.
        alpha: of the logit of images.
        learning_rate, weight_decay: the paper's.
        **options: as for every :class:`NormalizingFlow`.
    """

    paper = "Papamakarios, Pavlakou & Murray 2017, arXiv:1705.07057"
    takes_labels = True

    def __init__(
        self,
        data_shape: list[int],
        num_layers: int = 5,
        hidden: list[int] = [1024],
        activation: Activation = "relu",
        normalization: Literal["BatchNormalization", "ActNorm", "none"] = "BatchNormalization",
        alpha: float = 1e-6,
        learning_rate: float = 1e-4,
        weight_decay: float = 1e-6,
        **options: Any,
    ) -> None:
        super().__init__(data_shape, learning_rate=learning_rate, weight_decay=weight_decay, **options)

    def build_bijection(self) -> Bijection:
        require_at_least(1, num_layers=self.hparams.num_layers)
        layers: list[Bijection] = []
        if is_image(self.data_shape):
            layers += [Logit(self.hparams.alpha), Flatten(self.data_shape)]
        for number in range(self.hparams.num_layers):
            layers += [self.layer(reverse=number % 2 == 1), *self.normalization()]
        return Chain(layers)

    def layer(self, reverse: bool) -> Bijection:
        """One autoregressive layer, from the first number to the last or the other way round."""
        size = math.prod(self.data_shape)
        places = torch.arange(size)
        network = MaskedMLP(
            event_size=size,
            num_parameters=Affine.num_parameters,
            hidden=self.hparams.hidden,
            order=places.flip(0) if reverse else places,
            context_features=self.embedding.features,
            activation=self.hparams.activation,
        )
        return Autoregressive(network, Affine((size,)))

    def normalization(self) -> list[Bijection]:
        """What follows a layer."""
        size = math.prod(self.data_shape)
        if self.hparams.normalization == "none":
            return []
        return [ActNorm(size, num_dims=1) if self.hparams.normalization == "ActNorm" else BatchNormalization(size)]
