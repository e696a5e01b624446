r"""A recurrent network over the raster that is told where it stands: LSTM (Hochreiter & Schmidhuber, 1997) with coordinates.

The plainest of recurrent models of images, as it is taught before PixelRNN (van den Oord et al., 2016, arXiv:1601.06759; course CS294-158):
a pixel after the other, each a step, with no notion of what lies above. Deviation from the course: the coordinates are those of the place
that is predicted, not of the one whose value is given; they are known beforehand, so nothing leaks. Colours are steps of their own.
"""

from __future__ import annotations

from typing import Any

from lightning_gen.models.autoregressive.autoregressive_model import AutoregressiveModel
from lightning_gen.nn.causal.base import Places
from lightning_gen.nn.causal.coordinate_pixel_rnn import CoordinatePixelRNNNetwork


class CoordinatePixelRNN(AutoregressiveModel):
    r"""An LSTM whose input at a step is the value before, and row, column and colour of the value to come.

    .. math:: h_t, c_t = \mathrm{LSTM}([x_{t-1}, r_t, k_t], h_{t-1}, c_{t-1}), \quad P(x_t | x_{<t}) = P(x_t | W h_t + b)

    Args:
        data_shape: as for every :class:`AutoregressiveModel`.
        hidden_size: units of a layer.
        num_layers: layers.
        coordinates: whether row, column and colour are given; false for an ablation.
        **options: as for every :class:`AutoregressiveModel`.
    """

    paper = "LSTM (Hochreiter & Schmidhuber 1997) over pixels, the baseline of PixelRNN, arXiv:1601.06759"

    def __init__(
        self, data_shape: list[int], hidden_size: int = 256, num_layers: int = 1, coordinates: bool = True, **options: Any
    ) -> None:
        super().__init__(data_shape, **options)

    def build_network(self, places: Places) -> CoordinatePixelRNNNetwork:
        names = ("hidden_size", "num_layers", "coordinates")
        return CoordinatePixelRNNNetwork(places, **{name: self.hparams[name] for name in names})

    def answer_options(self) -> dict[str, Any]:
        return {"coordinates": self.hparams.coordinates}
