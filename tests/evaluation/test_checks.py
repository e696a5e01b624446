"""What looks like a mistake in somebody's images is said in words, and nothing is said of images without one."""

import numpy as np
import pytest
import torch
from distributed_pool import shared_pool

from lightning_gen.evaluation.checks import ImageChecks, count_warnings, format_warning, shape_warnings
from lightning_gen.noise import blocks


def pixels(count=200, shape=(3, 4, 4), lowest=0, highest=256):
    return torch.from_numpy(np.random.default_rng(0).integers(lowest, highest, (count, *shape), np.uint8))


def warnings_about(images, order=lambda places: places):
    checks = ImageChecks("samples", len(images))
    for block in order([*blocks(len(images))]):
        checks.add(block, images[block.start : block.stop])
    return checks.warnings()


def test_ordinary_images_raise_no_suspicion():
    assert warnings_about(pixels()) == []
    assert warnings_about(pixels(shape=(1, 8, 8))) == []
    black_and_white = torch.where(pixels(shape=(1, 8, 8)) > 200, 255, 0).to(torch.uint8)
    assert warnings_about(black_and_white) == []


def test_copies_are_counted_and_the_first_pair_is_named():
    images = pixels()
    images[7] = images[3]
    assert warnings_about(images) == ["samples: 1 of 200 images is an exact copy of an earlier one (first 3 and 7)"]
    images[190] = images[3]
    images[5] = images[150]
    assert warnings_about(images) == ["samples: 3 of 200 images are exact copies of an earlier one (first 3 and 7)"]


def test_one_pixel_makes_no_copy_and_another_layout_of_memory_does():
    images = pixels()
    images[7] = images[3]
    images[7, 2, 3, 3] ^= 1
    assert warnings_about(images) == []
    images[7] = images[3]
    assert len(warnings_about(images.contiguous(memory_format=torch.channels_last))) == 1


def test_the_order_of_the_blocks_does_not_matter():
    images = pixels()
    images[150] = images[70]
    assert warnings_about(images, lambda places: places[::-1]) == warnings_about(images)


def test_images_of_one_value_are_counted():
    images = pixels()
    images[[11, 60]] = torch.tensor([0, 9], dtype=torch.uint8).view(2, 1, 1, 1)
    assert warnings_about(images) == ["samples: 2 of 200 images have one value in all pixels (first 11)"]


@pytest.mark.parametrize(
    ("lowest", "highest", "words"),
    [
        (0, 2, "no value is above 1; these look like floats in [0, 1]"),
        (0, 128, "no value is above 127; these look like half of the range, such as [-1, 1]"),
        (127, 256, "no value is below 127; these look like half of the range, such as [0, 1]"),
    ],
)
def test_a_part_of_the_range_is_noticed(lowest, highest, words):
    (warning,) = warnings_about(pixels(lowest=lowest, highest=highest))
    assert words in warning


@pytest.mark.parametrize(("lowest", "highest"), [(0, 129), (126, 256)])
def test_a_little_more_than_half_of_the_range_is_no_mistake(lowest, highest):
    assert warnings_about(pixels(lowest=lowest, highest=highest)) == []


def checks_of_a_rank(rank, world_size):
    images = pixels(150)
    images[140] = images[1]
    images[70] = 9
    checks = ImageChecks("samples", len(images))
    for number, block in enumerate(blocks(len(images))):
        if number % world_size == rank:
            checks.add(block, images[block.start : block.stop])
    return checks.warnings()


def test_all_processes_see_copies_across_them():
    one, two, three = (shared_pool()(checks_of_a_rank, world_size=size) for size in (1, 2, 3))
    assert len(one[0]) == 2
    assert one * 2 == two
    assert one * 3 == three


def test_lossy_files_are_named_with_their_number():
    assert format_warning({"formats": {"PNG": 5, "WEBP": 1}}, "mine") is None
    assert format_warning(None, "mine") is None
    assert "mine: 3 of 8 files are JPEG" in format_warning({"formats": {"PNG": 5, "JPEG": 2, "MPO": 1}}, "mine")


@pytest.mark.parametrize(
    ("shape", "reference", "words"),
    [
        ((3, 32, 32), (3, 32, 32), []),
        ((3, 32, 32), None, []),
        ((1, 28, 28), (1, 28, 28), []),
        ((3, 32, 32), (3, 64, 64), ["32x32 pixels against 64x64"]),
        ((3, 32, 48), (3, 32, 32), ["48x32 pixels against 32x32"]),
        ((1, 32, 32), (3, 32, 32), ["grey images against a RGB reference"]),
        ((4, 32, 32), (3, 32, 32), ["4 channels; expected 1 (grey) or 3 (RGB)"]),
        ((1, 32, 32), (3, 64, 64), ["32x32 pixels against 64x64", "grey images"]),
    ],
)
def test_another_size_or_colour_than_the_references_is_noticed(shape, reference, words):
    found = shape_warnings(shape, reference, "samples")
    assert len(found) == len(words)
    for line, part in zip(found, words, strict=True):
        assert part in line


@pytest.mark.parametrize(
    ("count", "reference", "words"),
    [
        (50_000, 50_000, []),
        (60_000, None, []),
        (50_000, 0, []),
        (2048, 50_000, ["2048 images cannot span 2048 features", "mostly bias (customary are 50000); compare FD-infinity"]),
        (2049, 50_000, ["mostly bias"]),
        (10_000, 50_000, ["biased upward"]),
        (50_000, 9_999, ["9999 real images are few"]),
    ],
)
def test_small_sets_are_noticed(count, reference, words):
    found = count_warnings(count, reference, 2048, "samples", "FD-infinity")
    assert len(found) == len(words)
    for line, part in zip(found, words, strict=True):
        assert part in line


def test_a_network_with_fewer_features_needs_fewer_images():
    assert count_warnings(2000, 2000, 64, "samples") == []
    (line,) = count_warnings(1500, 2000, 64, "samples")
    assert "customary are 1562" in line
    assert line.endswith("compare only with the same N")
