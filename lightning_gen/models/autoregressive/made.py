r"""MADE (Germain, Gregor, Murray & Larochelle, 2015, arXiv:1502.03509).

Implemented: masks of one fixed order (raster, diagonal or random), hidden units at equal distances, direct connections where a layer is
too narrow to have a unit for every number of inputs. Not implemented: the training that is agnostic of order and connectivity. Deviations:
Adam where the paper has Adagrad, its last layer starts at zero, and any distribution of a pixel where the paper has Bernoulli.
"""

from __future__ import annotations

from typing import Any, Literal

from lightning_gen.models.autoregressive.autoregressive_model import AutoregressiveModel
from lightning_gen.nn.base import Activation
from lightning_gen.nn.causal.base import Places
from lightning_gen.nn.causal.made import MADENetwork


class MADE(AutoregressiveModel):
    r"""A masked autoencoder: one pass of a fully connected network gives every conditional distribution.

    Args:
        data_shape: as for every :class:`AutoregressiveModel`.
        hidden: widths of the hidden layers.
        activation: their nonlinearity.
        order: order of generation.
        order_seed: seed of the random order.
        **options: as for every :class:`AutoregressiveModel`.
    """

    paper = "Germain, Gregor, Murray & Larochelle 2015, arXiv:1502.03509"

    def __init__(
        self,
        data_shape: list[int],
        hidden: list[int] = [500],
        activation: Activation = "relu",
        order: Literal["raster", "diagonal", "random"] = "raster",
        order_seed: int = 0,
        **options: Any,
    ) -> None:
        super().__init__(data_shape, **options)

    def build_network(self, places: Places) -> MADENetwork:
        names = ("hidden", "activation", "order", "order_seed")
        return MADENetwork(places, **{name: self.hparams[name] for name in names})

    def answer_options(self) -> dict[str, Any]:
        return {"order": self.hparams.order}
