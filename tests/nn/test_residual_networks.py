"""The VQ-VAE's networks: a grid of vectors, each of which sees its own neighbourhood only."""

import pytest
import torch

from lightning_gen.errors import UserError
from lightning_gen.nn import ResidualDecoder, ResidualEncoder
from lightning_gen.nn.base import LabelKind


def test_position_and_vector_of_the_flat_form_are_those_of_the_grid():
    """A pixel in a corner moves the vectors near it and no others; a vector moves the pixels near it and no others."""
    encoder, decoder = ResidualEncoder((1, 32, 32), 8 * 8 * 3, width=6), ResidualDecoder(8 * 8 * 3, (1, 32, 32), width=6)
    assert encoder.grid == decoder.grid == (8, 8)
    x = torch.randn(1, 1, 32, 32)
    moved = x.clone()
    moved[..., 0, 31] += 1
    changed = (encoder(moved) != encoder(x)).view(8, 8, 3).any(-1)
    assert changed[0, 7]
    assert not changed[4:].any()
    assert not changed[:, :4].any()
    z = torch.randn(1, 8 * 8 * 3)
    moved = z.clone()
    moved.view(8, 8, 3)[7, 0] += 1
    changed = (decoder(moved) != decoder(z)).view(32, 32)
    assert changed[28:, :4].all()
    assert not changed[:12].any()
    assert not changed[:, 20:].any()


@pytest.mark.parametrize("cls", [ResidualEncoder, ResidualDecoder])
def test_what_has_no_grid_is_refused(cls):
    def build(shape, features, labels=LabelKind()):
        return cls(shape, features, labels) if cls is ResidualEncoder else cls(features, shape, labels)

    with pytest.raises(UserError, match=rf"{cls.__name__} expected images with sides that are multiples of 4, got \[1, 30, 32\]"):
        build((1, 30, 32), 64)
    with pytest.raises(UserError, match="expected images with sides that are multiples of 4"):
        build((32,), 64)
    with pytest.raises(UserError, match="expected a multiple of 64 features, got 65"):
        build((1, 32, 32), 65)
    with pytest.raises(UserError, match="takes no labels"):
        build((1, 32, 32), 64, LabelKind(3))
