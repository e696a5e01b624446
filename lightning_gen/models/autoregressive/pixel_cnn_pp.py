r"""PixelCNN++ (Salimans, Karpathy, Chen & Kingma, 2017, arXiv:1701.05517).

Implemented: a mixture of discretised logistics for the whole pixel, whose colours are tied by coefficients; two streams of shifted
convolutions at three resolutions with shortcuts; gated residual blocks with concatenated ELUs and dropout; normalised weights that are
initialised from the first batch; Adam with the authors' betas and decay; classes as a bias in every block. Averaged weights are the
configuration's (``ema``; 0.9995 a step in the paper).

Deviations: inputs are shifted in front of the first convolutions, where the authors' code shifts what these make, so that places at the
edge get the bias too; a channel that does not vary over the first batch keeps its scale; a class enters through a learned vector (the
authors' code: one-hot); colours that are drawn are rounded to their levels before the next one is drawn, which makes a draw one of the
exact mass.
"""

from __future__ import annotations

from typing import Any

import torch

from lightning_gen.models.autoregressive.autoregressive_model import AutoregressiveModel
from lightning_gen.models.hyperparameters import require_at_least
from lightning_gen.nn.causal.base import Places
from lightning_gen.nn.causal.pixel_cnn_pp import PixelCNNPPNetwork
from lightning_gen.registry import ClassSpec


class PixelCNNPP(AutoregressiveModel):
    r"""Pixels from the pixels above and to the left: :math:`P(x) = \prod_i \mathrm{Mixture}(x_i;\ N(x_{<i}))`, all colours of i at once.

    Args:
        data_shape: images; 4 divides their height and their width.
        width: channels of both streams.
        num_blocks: gated blocks at each resolution.
        dropout: share of the features that are dropped in training inside of every block.
        output: as for every :class:`AutoregressiveModel`; one that says all colours at once.
        learning_rate: at the start.
        half_life_images: the learning rate is halved in so many images; 0 for never. The default is the authors' 0.999995 a step of 128.
        **options: as for every :class:`AutoregressiveModel`.
    """

    paper = "Salimans, Karpathy, Chen & Kingma 2017, arXiv:1701.05517"
    data_dependent = ("distribution.network",)

    def __init__(
        self,
        data_shape: list[int],
        width: int = 160,
        num_blocks: int = 5,
        dropout: float = 0.5,
        output: ClassSpec | str = "DiscretizedLogisticMixture",
        learning_rate: float = 1e-3,
        half_life_images: int = 17_744_000,
        **options: Any,
    ) -> None:
        require_at_least(0, half_life_images=half_life_images)
        super().__init__(data_shape, output, learning_rate=learning_rate, **options)

    def build_network(self, places: Places) -> PixelCNNPPNetwork:
        return PixelCNNPPNetwork(places, **{name: self.hparams[name] for name in ("width", "num_blocks", "dropout")})

    def learning_rate_factor(self) -> float:
        """That of every model, with the exponential decay."""
        half_life = self.hparams.half_life_images
        return super().learning_rate_factor() * (0.5 ** (self.images_seen / half_life) if half_life else 1.0)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        options = {"lr": self.hparams.learning_rate, "weight_decay": self.hparams.weight_decay}
        return torch.optim.Adam(self.trained_parameters(), betas=(0.95, 0.9995), **options)
