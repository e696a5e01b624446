"""The fully convolutional networks of the VQ-VAE (van den Oord et al., 2017, arXiv:1711.00937): a grid of vectors at a quarter of the size.

What is flat outside is channel-last: position by position, all channels of each. Where a grid of another depth than ``width`` is asked for,
a 1x1 convolution (encoder) or a 3x3 convolution (decoder), which the paper does not mention, changes the depth.
"""

from __future__ import annotations

from torch import Tensor, nn

from lightning_gen.errors import UserError
from lightning_gen.nn.base import Decoder, Encoder, LabelKind
from lightning_gen.nn.conv import require_width


def quarter_grid(data_shape: tuple[int, ...], features: int, labels: LabelKind, name: str) -> tuple[tuple[int, int], int]:
    """Height and width of the grid, and its depth when it holds so many features in all.

    Raises:
        UserError: the sides are not multiples of 4, the features do not fill the grid, or there are labels.
    """
    if len(data_shape) != 3 or data_shape[1] % 4 or data_shape[2] % 4:
        raise UserError(f"data_shape: {name} expected images with sides that are multiples of 4, got {list(data_shape)}")
    height, width = data_shape[1] // 4, data_shape[2] // 4
    if features % (height * width):
        raise UserError(f"model: {name} on a grid of [{height}, {width}] expected a multiple of {height * width} features, got {features}")
    if any(labels):
        raise UserError(f"model.conditional: {name} takes no labels; expected false")
    return (height, width), features // (height * width)


class ResidualBlock(nn.Module):
    """ReLU, 3x3 convolution, ReLU, 1x1 convolution, added to the input.

    Args:
        width: channels.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.ReLU(), nn.Conv2d(width, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, width, 1))

    def forward(self, x: Tensor) -> Tensor:
        """x ``(B, width, H, W)`` plus what the layers say."""
        return x + self.layers(x)


class ResidualEncoder(Encoder):
    """Two strided 4x4 convolutions and two residual blocks.

    Args:
        data_shape, out_features, labels: as for every :class:`Encoder`; sides are multiples of 4, and there are no labels.
        width: channels of the hidden layers.
    """

    def __init__(self, data_shape: tuple[int, ...], out_features: int, labels: LabelKind = LabelKind(), width: int = 256) -> None:
        super().__init__()
        require_width(width)
        self.grid, depth = quarter_grid(data_shape, out_features, labels, "ResidualEncoder")
        self.layers = nn.Sequential(
            nn.Conv2d(data_shape[0], width, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, width, 4, stride=2, padding=1),
            *(ResidualBlock(width) for _ in range(2)),
            nn.ReLU(),
            nn.Conv2d(width, depth, 1),
        )

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.layers(x).movedim(1, -1).flatten(1)


class ResidualDecoder(Decoder):
    """Two residual blocks and two transposed 4x4 convolutions.

    Args:
        in_features, out_shape, labels: as for every :class:`Decoder`; sides are multiples of 4, and there are no labels.
        width: channels of the hidden layers.
    """

    def __init__(self, in_features: int, out_shape: tuple[int, ...], labels: LabelKind = LabelKind(), width: int = 256) -> None:
        super().__init__()
        require_width(width)
        self.grid, depth = quarter_grid(out_shape, in_features, labels, "ResidualDecoder")
        self.layers = nn.Sequential(
            nn.Conv2d(depth, width, 3, padding=1),
            *(ResidualBlock(width) for _ in range(2)),
            nn.ReLU(),
            nn.ConvTranspose2d(width, width, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.ConvTranspose2d(width, out_shape[0], 4, stride=2, padding=1),
        )

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.layers(z.unflatten(1, (*self.grid, -1)).movedim(-1, 1))
