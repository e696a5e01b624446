r"""Self-attention over the places of an image: the decoder of iGPT (Chen et al., 2020, "Generative Pretraining from Pixels", ICML).

The likelihood by self-attention and the name are those of the Image Transformer (Parmar et al., 2018, arXiv:1802.05751); the blocks are
iGPT's: LayerNorm before attention and before an MLP of four times the width with GELUs, one more before the last layer, weights that start
small. Every place attends to all before it, as in iGPT; the Image Transformer's blocks of local attention are not implemented. As in the
Image Transformer every colour is a place of its own, the vector of a place is made of its row, its column and its colour (here learned),
and there is dropout; iGPT has a palette of 512 colours, one vector for each position and no dropout. Deviations from both: values enter as
numbers through a linear map; a step is told which place is known and which is asked (Pannatier et al., 2024, arXiv:2404.09562), so that
the order of generation may be any fixed one; labels are added to all steps. Not implemented: iGPT's training on masked pixels.
"""

from __future__ import annotations

from typing import Any, Literal

from lightning_gen.models.autoregressive.autoregressive_model import AutoregressiveModel
from lightning_gen.nn.causal.base import Places
from lightning_gen.nn.causal.image_transformer import ImageTransformerNetwork


class ImageTransformer(AutoregressiveModel):
    r"""A decoder of attention and MLPs, in any fixed order of the places.

    .. math:: h_t = e(x_{\pi(t-1)}) + k_{\pi(t-1)} + a_{\pi(t)}, \quad P(x_{\pi(t)} | x_{\pi(<t)}) = P(x | f(h_{\le t})_t)

    Args:
        data_shape: as for every :class:`AutoregressiveModel`.
        width: features of a step; a multiple of ``num_heads``.
        num_blocks: blocks.
        num_heads: heads of each attention.
        dropout: share that is dropped in training.
        order: order of generation.
        order_seed: seed of the random order.
        **options: as for every :class:`AutoregressiveModel`.
    """

    paper = "Chen et al. 2020 (iGPT), after Parmar et al. 2018, arXiv:1802.05751"

    def __init__(
        self,
        data_shape: list[int],
        width: int = 512,
        num_blocks: int = 12,
        num_heads: int = 4,
        dropout: float = 0.0,
        order: Literal["raster", "diagonal", "random"] = "raster",
        order_seed: int = 0,
        **options: Any,
    ) -> None:
        super().__init__(data_shape, **options)

    def build_network(self, places: Places) -> ImageTransformerNetwork:
        names = ("width", "num_blocks", "num_heads", "dropout", "order", "order_seed")
        return ImageTransformerNetwork(places, **{name: self.hparams[name] for name in names})

    def answer_options(self) -> dict[str, Any]:
        return {"order": self.hparams.order}
