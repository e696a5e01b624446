r"""Row LSTM and Diagonal BiLSTM, the two PixelRNNs (van den Oord, Kalchbrenner & Kavukcuoglu, 2016, arXiv:1601.06759).

Implemented: the masked 7 x 7 layer; LSTM layers from 2 h features to h and back, with residual connections; the input masked by colour, the
state not masked; both LSTMs of a diagonal layer, the one from the right a row lower; two 1 x 1 layers and a third that gives the
parameters; RMSProp in batches of 16. Not implemented: skip connections from each layer to the output, the multi-scale network. Deviations:
labels may shift the gates of every layer; any distribution of a pixel where the paper has a softmax or, for binary images, a Bernoulli; the
diagonal layers have one empty column right of the image, since as the paper describes them most pixels of a row would not see the last
pixel of the row above (the first layer leaves out the pixel itself, and there is no later one in that row to pass it on).
"""

from __future__ import annotations

from typing import Any

import torch

from lightning_gen.models.autoregressive.autoregressive_model import AutoregressiveModel
from lightning_gen.nn.causal.base import Places
from lightning_gen.nn.causal.diagonal_bilstm import DiagonalBiLSTMNetwork
from lightning_gen.nn.causal.row_lstm import RowLSTMNetwork


class PixelRNN(AutoregressiveModel):
    r"""LSTMs over an image, of states :math:`h` and cells :math:`c` at every pixel.

    .. math:: [o, f, i, g] = K^{ss} * h' + K^{is} * x, \quad c = \sigma(f) c' + \sigma(i) \tanh(g), \quad h = \sigma(o) \tanh(c)

    Where :math:`h'` and :math:`c'` stand is what distinguishes the two.

    Args:
        data_shape: as for every :class:`AutoregressiveModel`.
        width: h, features of the states, a multiple of the colours; the paper has 16 on MNIST, 128 on CIFAR-10 (129 here).
        num_layers: LSTM layers; the paper has 7 on MNIST, 12 on CIFAR-10.
        head_width: features of the last two layers; the paper has 32 on MNIST, 1024 on CIFAR-10.
        **options: as for every :class:`AutoregressiveModel`.
    """

    paper = "van den Oord, Kalchbrenner & Kavukcuoglu 2016, arXiv:1601.06759"

    def __init__(self, data_shape: list[int], width: int = 16, num_layers: int = 7, head_width: int = 32, **options: Any) -> None:
        super().__init__(data_shape, **options)

    def network_options(self) -> dict[str, Any]:
        """The hyperparameters of the network."""
        return {name: self.hparams[name] for name in ("width", "num_layers", "head_width")}

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.RMSprop(self.trained_parameters(), lr=self.hparams.learning_rate, weight_decay=self.hparams.weight_decay)


class RowLSTM(PixelRNN):
    r"""A pixel continues the one above it, and sees a triangle of the rows above.

    Args:
        data_shape: as for every :class:`PixelRNN`.
        kernel_size: of the convolutions along a row, an odd number.
        **options: as for every :class:`PixelRNN`.
    """

    def __init__(self, data_shape: list[int], kernel_size: int = 3, **options: Any) -> None:
        super().__init__(data_shape, **options)

    def build_network(self, places: Places) -> RowLSTMNetwork:
        return RowLSTMNetwork(places, **self.network_options(), kernel_size=self.hparams.kernel_size)


class DiagonalBiLSTM(PixelRNN):
    r"""A pixel continues the one left of it, and the one right of it a row higher; it sees everything before it.

    Args:
        data_shape: as for every :class:`PixelRNN`.
        **options: as for every :class:`PixelRNN`.
    """

    def __init__(self, data_shape: list[int], **options: Any) -> None:
        super().__init__(data_shape, **options)

    def build_network(self, places: Places) -> DiagonalBiLSTMNetwork:
        return DiagonalBiLSTMNetwork(places, **self.network_options())
