r"""The fully visible sigmoid belief network (Neal, 1992; Frey, 1998): logistic regression of every pixel on those before it.

As the baseline of MADE's paper (Germain et al., 2015, arXiv:1502.03509), in raster order. With more than two levels it is a softmax
regression.
"""

from __future__ import annotations

from typing import Any

from lightning_gen.models.autoregressive.autoregressive_model import AutoregressiveModel
from lightning_gen.nn.causal.base import Places
from lightning_gen.nn.causal.made import MADENetwork


class FVSBN(AutoregressiveModel):
    r"""One weight for each pair of places: :math:`P(x_t = 1 | x_{<t}) = \sigma(b_t + \sum_{s < t} w_{ts} x_s)`.

    Args:
        data_shape: as for every :class:`AutoregressiveModel`.
        **options: as for every :class:`AutoregressiveModel`.
    """

    paper = "Frey 1998; as a baseline Germain et al. 2015, arXiv:1502.03509"

    def __init__(self, data_shape: list[int], **options: Any) -> None:
        super().__init__(data_shape, **options)

    def build_network(self, places: Places) -> MADENetwork:
        return MADENetwork(places, hidden=[])
