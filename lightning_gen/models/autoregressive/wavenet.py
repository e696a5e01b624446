r"""WaveNet (van den Oord et al., 2016, arXiv:1609.03499) for images: the raster is the signal.

Implemented: causal convolutions of two taps at growing distances, gated units, residual and skip connections, two 1x1 layers behind ReLUs,
global conditioning (on labels). Sampling keeps the last d inputs of a layer of distance d (Le Paine et al., 2016, arXiv:1611.09482).
Deviations: the first causal convolution has one tap, the value before; levels are not mu-law coded, and given as numbers; row, column and
colour of the place that is predicted are further inputs, since an image is no stationary signal and the distances need not reach over all
of it. Not implemented: local conditioning.
"""

from __future__ import annotations

from typing import Any

from lightning_gen.models.autoregressive.autoregressive_model import AutoregressiveModel
from lightning_gen.nn.causal.base import Places
from lightning_gen.nn.causal.wavenet import WaveNetNetwork


class WaveNet(AutoregressiveModel):
    r"""Every place from the ``1 + sum(dilations)`` places before it, in the order of the raster.

    .. math:: z = \tanh(W_f * x) \odot \sigma(W_g * x)

    Args:
        data_shape: as for every :class:`AutoregressiveModel`.
        dilations: of each layer, distance of its two taps in places.
        width: channels of a layer.
        skip_width: channels of the skip connections.
        coordinates: whether row, column and colour are given; false for an ablation.
        **options: as for every :class:`AutoregressiveModel`.
    """

    paper = "van den Oord et al. 2016, arXiv:1609.03499"

    def __init__(
        self,
        data_shape: list[int],
        dilations: list[int] = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512],
        width: int = 32,
        skip_width: int = 256,
        coordinates: bool = True,
        **options: Any,
    ) -> None:
        super().__init__(data_shape, **options)

    def build_network(self, places: Places) -> WaveNetNetwork:
        names = ("dilations", "width", "skip_width", "coordinates")
        return WaveNetNetwork(places, **{name: self.hparams[name] for name in names})

    def answer_options(self) -> dict[str, Any]:
        return {"coordinates": self.hparams.coordinates}
