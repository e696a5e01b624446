"""The pixel contract: nothing is lost, moved or stretched between bytes, levels and the models' float forms."""

import math

import numpy as np
import pytest
import torch
from PIL import Image

from lightning_gen import images as pixels
from lightning_gen.noise import IndexedNoise

BYTES = torch.arange(256, dtype=torch.uint8)
BITS = range(1, 9)


class Constant:
    """A noise source that always draws the same value."""

    def __init__(self, value):
        self.value = value

    def uniform(self, name, shape):
        return torch.full((1, *shape), self.value)


def all_bytes(num_bits):
    """Every byte of data with n bits, as one image ``(1, 1, 1, 2^n)``."""
    return pixels.from_levels(torch.arange(2**num_bits), num_bits).view(1, 1, 1, -1)


@pytest.mark.parametrize("num_bits", BITS)
def test_to_levels_inverts_from_levels(num_bits):
    levels = torch.arange(2**num_bits, dtype=torch.uint8)
    stored = pixels.from_levels(levels, num_bits)
    assert stored.dtype == torch.uint8
    assert torch.equal(pixels.to_levels(stored, num_bits), levels)
    assert (int(stored[0]), int(stored[-1])) == (0, 255)
    assert torch.equal(stored, torch.tensor([round(255 * level / (2**num_bits - 1)) for level in range(2**num_bits)], dtype=torch.uint8))


@pytest.mark.parametrize("num_bits", BITS)
def test_reduce_bits_is_idempotent_keeps_the_leading_bits_and_has_all_levels(num_bits):
    reduced = pixels.reduce_bits(BYTES, num_bits)
    assert torch.equal(pixels.reduce_bits(reduced, num_bits), reduced)
    assert torch.equal(pixels.to_levels(reduced, num_bits), BYTES >> (8 - num_bits))
    assert len(reduced.unique()) == 2**num_bits


@pytest.mark.parametrize("num_bits", BITS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("there", "back"), [(pixels.to_unit, pixels.from_unit), (pixels.to_symmetric, pixels.from_symmetric)])
def test_a_round_trip_through_floats_changes_no_level(num_bits, dtype, there, back):
    torch.set_default_dtype(dtype)
    stored = all_bytes(num_bits)
    assert there(stored).dtype == dtype
    assert torch.equal(back(there(stored), num_bits), stored)


def test_the_float_forms_span_their_ranges_exactly():
    assert pixels.to_unit(BYTES)[[0, -1]].tolist() == [0.0, 1.0]
    assert pixels.to_symmetric(BYTES)[[0, -1]].tolist() == [-1.0, 1.0]


@pytest.mark.parametrize("num_bits", BITS)
def test_from_unit_clamps_and_takes_the_nearest_level(num_bits):
    outside = torch.tensor([-1e9, -0.01, 1.01, 1e9, -math.inf, math.inf])
    assert pixels.from_unit(outside, num_bits).tolist() == [0, 0, 255, 255, 0, 255]
    assert pixels.from_symmetric(2 * outside - 1, num_bits).tolist() == [0, 0, 255, 255, 0, 255]
    top = 2**num_bits - 1
    near = (torch.arange(top + 1) + torch.tensor([[-0.4], [0.4]])) / top
    assert torch.equal(pixels.from_unit(near, num_bits), all_bytes(num_bits).view(1, -1).expand(2, -1))


@pytest.mark.parametrize("num_bits", BITS)
@pytest.mark.parametrize("u", [0.0, 0.25, 0.5, 1 - 2**-16])
def test_dequantized_values_stay_in_their_cell_and_invert(num_bits, u):
    stored = all_bytes(num_bits)
    y = pixels.dequantize(stored, Constant(u), num_bits)
    cell = torch.arange(2**num_bits) / 2**num_bits
    assert (y >= cell).all()
    assert (y < cell + 2.0**-num_bits).all()
    assert torch.equal(y, cell.view_as(y) + u / 2**num_bits)
    assert torch.equal(pixels.from_levels((y * 2**num_bits).floor(), num_bits), stored)


def test_dequantization_draws_one_number_per_pixel_of_every_image():
    y = pixels.dequantize(torch.zeros(70, 3, 4, 4, dtype=torch.uint8), IndexedNoise(0, range(70))) * 256
    assert len(y.unique()) > 0.99 * y.numel()
    assert abs(float(y.mean()) - 0.5) < 5 / math.sqrt(12 * y.numel())


@pytest.mark.parametrize("num_bits", BITS)
@pytest.mark.parametrize("shape", [[1, 8, 8], [3, 5, 7]])
def test_a_uniform_model_costs_exactly_num_bits_per_dimension(num_bits, shape, float64):
    log_mass = torch.tensor([-math.prod(shape) * num_bits * math.log(2)])
    assert pixels.bits_per_dim(log_mass, shape).item() == pytest.approx(num_bits, rel=1e-14)
    # The density 1 on the unit cube is the uniform model on dequantized data.
    assert pixels.cell_log_volume(shape, num_bits) == pytest.approx(log_mass.item(), rel=1e-14)


def test_vectors_have_densities_and_no_cells():
    assert pixels.cell_log_volume([2], 8) == 0
    assert not pixels.is_image([2])
    assert pixels.is_image([3, 2, 2])


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("min_size", [1, 12])
def test_image_r_c_of_a_grid_is_where_it_should_be(channels, min_size):
    images = torch.randint(0, 256, (5, channels, 4, 6), dtype=torch.uint8)
    grid = pixels.make_grid(images, num_columns=3, padding=2, min_size=min_size)
    scale = max(1, min_size // 6)
    height, width = 4 * scale, 6 * scale
    assert grid.shape == (3, 2 * (height + 2) + 2, 3 * (width + 2) + 2)
    for index, image in enumerate(images):
        row, column = divmod(index, 3)
        top, left = 2 + row * (height + 2), 2 + column * (width + 2)
        found = grid[:, top : top + height : scale, left : left + width : scale]
        assert torch.equal(found, image.expand(3, -1, -1))
        assert torch.equal(grid[:, top + scale - 1 : top + height : scale, left + scale - 1 : left + width : scale], found)
    assert (grid[:, :2] == 127).all()
    assert (grid[:, height + 4 :, 2 * (width + 2) + 2 :] == 127).all()


@pytest.mark.parametrize("channels", [1, 3])
def test_a_png_holds_the_pixels_that_were_saved(channels, tmp_path):
    picture = torch.randint(0, 256, (channels, 5, 7), dtype=torch.uint8)
    pixels.save_png(picture, str(tmp_path / "picture"))
    with Image.open(tmp_path / "picture") as image:
        assert (image.format, image.mode) == ("PNG", {1: "L", 3: "RGB"}[channels])
        read = np.asarray(image).reshape(5, 7, channels)
    assert np.array_equal(read, picture.permute(1, 2, 0).numpy())
