r"""PixelCNN (van den Oord, Kalchbrenner & Kavukcuoglu, 2016, arXiv:1601.06759, Sections 3.4 and 5).

Implemented: a 7x7 convolution with mask A, residual blocks with mask B, two 1x1 layers with mask B, the second of which gives the
parameters (of the paper's two ways to read its Table 1 the smaller), colours of a pixel one after the other through groups of features in
every layer, dilated blocks as an option. Not implemented: the multi-scale model. Deviations: Adam where the paper has RMSProp; the last
layer starts at zero; widths are multiples of the colours (129 and 1023 for the paper's 128 and 1024); labels, which the paper's model does
not take, are added to what the first layer gives.
"""

from __future__ import annotations

from typing import Any

from lightning_gen.models.autoregressive.autoregressive_model import AutoregressiveModel
from lightning_gen.nn.causal.base import Places
from lightning_gen.nn.causal.pixel_cnn import PixelCNNNetwork


class PixelCNN(AutoregressiveModel):
    r"""One pass of masked convolutions gives every conditional distribution; part of the rows above is never seen (the blind spot).

    Args:
        data_shape: as for every :class:`AutoregressiveModel`.
        width: h, features within the residual blocks; twice as many outside.
        num_blocks: residual blocks.
        head_width: features of the last hidden layer.
        first_kernel_size: of the first convolution.
        kernel_size: of the blocks' convolutions.
        dilations: of the blocks' convolutions, in turn: [1, 2, 4] dilates the second and the third block of every three.
        **options: as for every :class:`AutoregressiveModel`.
    """

    paper = "van den Oord, Kalchbrenner & Kavukcuoglu 2016, arXiv:1601.06759"

    def __init__(
        self,
        data_shape: list[int],
        width: int = 129,
        num_blocks: int = 15,
        head_width: int = 1023,
        first_kernel_size: int = 7,
        kernel_size: int = 3,
        dilations: list[int] = [1],
        **options: Any,
    ) -> None:
        super().__init__(data_shape, **options)

    def build_network(self, places: Places) -> PixelCNNNetwork:
        names = ("width", "num_blocks", "head_width", "first_kernel_size", "kernel_size", "dilations")
        return PixelCNNNetwork(places, **{name: self.hparams[name] for name in names})
