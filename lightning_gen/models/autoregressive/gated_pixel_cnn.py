r"""Gated PixelCNN (van den Oord, Kalchbrenner, Vinyals, Espeholt, Graves & Kavukcuoglu, 2016, arXiv:1606.05328).

Implemented: vertical and horizontal stacks, gates, residual connections in the horizontal stack but for its first layer, colours of a
pixel one after the other, classes through a bias before the gates. Not implemented: conditioning on a map of features (the paper's
location-dependent variant) and the decoder of its autoencoder. Deviations: the bias of a class is added in the vertical stack, whose link
carries it into the horizontal gate; dilated layers as an option; the last layer starts at zero; Adam, since the paper names no optimiser.
"""

from __future__ import annotations

from typing import Any

from lightning_gen.models.autoregressive.autoregressive_model import AutoregressiveModel
from lightning_gen.nn.causal.base import Places
from lightning_gen.nn.causal.gated_pixel_cnn import GatedPixelCNNNetwork


class GatedPixelCNN(AutoregressiveModel):
    r"""Masked convolutions in two stacks, each behind a gate :math:`\tanh(a) \odot \sigma(b)`, without a blind spot.

    Args:
        data_shape: as for every :class:`AutoregressiveModel`.
        width: features of each stack.
        num_layers: gated layers, the first one included.
        head_width: features between the last two convolutions.
        first_kernel_size: of the first layer.
        kernel_size: of the others.
        dilations: of the others, in turn.
        **options: as for every :class:`AutoregressiveModel`.
    """

    paper = "van den Oord, Kalchbrenner, Vinyals, Espeholt, Graves & Kavukcuoglu 2016, arXiv:1606.05328"

    def __init__(
        self,
        data_shape: list[int],
        width: int = 384,
        num_layers: int = 20,
        head_width: int = 384,
        first_kernel_size: int = 7,
        kernel_size: int = 5,
        dilations: list[int] = [1],
        **options: Any,
    ) -> None:
        super().__init__(data_shape, **options)

    def build_network(self, places: Places) -> GatedPixelCNNNetwork:
        names = ("width", "num_layers", "head_width", "first_kernel_size", "kernel_size", "dilations")
        return GatedPixelCNNNetwork(places, **{name: self.hparams[name] for name in names})
