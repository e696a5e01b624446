"""The rendered pictures: every combination once, told apart by the eye of a model, and placed where the factors say."""

import numpy as np
import pytest

from lightning_gen.data import Digits, Factors
from lightning_gen.data.base import SPLITS
from lightning_gen.data.factors import FACTORS, SHAPES, STRIDE, all_combinations, render
from lightning_gen.errors import UserError


def test_every_combination_is_in_exactly_one_split():
    data = Factors(batch_size=8)
    rows = np.concatenate([data.factors(split) for split in SPLITS])
    assert len(rows) == np.prod([*FACTORS.values()]) == len(np.unique(rows, axis=0))
    assert rows.min(0).tolist() == [0] * 5
    assert (rows.max(0) + 1).tolist() == [*FACTORS.values()]


@pytest.mark.parametrize("binarization", ["none", "threshold"])
def test_no_two_combinations_look_the_same(binarization):
    data = Factors(batch_size=8, binarization=binarization)
    images = np.concatenate([data.batch(split, range(data.split_size(split)))[0].flatten(1).numpy() for split in SPLITS])
    assert len(np.unique(images, axis=0)) == len(images)


def test_the_factors_of_a_split_are_those_of_its_images():
    data = Factors(batch_size=8)
    images, labels = data.batch("validation", [3, 500, 1023])
    rows = data.factors("validation")[[3, 500, 1023]]
    assert labels.tolist() == rows[:, 0].tolist()
    assert all(np.array_equal(image[0], render(*row)) for image, row in zip(images.numpy(), rows, strict=True))


def test_nothing_is_cut_off_and_every_shape_is_where_its_factors_say():
    pictures, factors = all_combinations()
    weight = pictures[:, 0].astype(float)
    assert not any(edge.any() for edge in (weight[:, 0], weight[:, -1], weight[:, :, 0], weight[:, :, -1]))
    symmetric = factors[:, 0] < 2  # the centre of mass of a triangle is not the one it is turned about
    across = (weight.sum(1) * np.arange(32)).sum(1) / weight.sum((1, 2))
    down = (weight.sum(2) * np.arange(32)).sum(1) / weight.sum((1, 2))
    assert np.allclose(across[symmetric], 8.5 + STRIDE * factors[symmetric, 3], atol=0.1)
    assert np.allclose(down[symmetric], 8.5 + STRIDE * factors[symmetric, 4], atol=0.1)


@pytest.mark.parametrize("shape", range(FACTORS["shape"]))
def test_a_larger_size_covers_more_by_the_square_of_the_radius(shape):
    areas = [render(shape, size, 3, 4, 4).sum() / 255 for size in range(FACTORS["size"])]
    assert np.allclose(areas, areas[-1] * (np.array([5, 6, 7, 8]) / 8) ** 2, rtol=0.05)


@pytest.mark.parametrize("shape", range(FACTORS["shape"]))
def test_a_whole_turn_of_the_rotation_factor_is_the_same_picture(shape):
    inside, period = SHAPES[shape]
    u, v = np.random.default_rng(0).uniform(-1, 1, (2, 1000))
    turned = np.cos(period) * u - np.sin(period) * v, np.sin(period) * u + np.cos(period) * v
    assert (inside(u, v) == inside(*turned)).mean() > 0.995
    assert render(shape, 3, 8, 4, 4).astype(int) == pytest.approx(render(shape, 3, 0, 4, 4).astype(int), abs=64)


# Leaving classes out, of any data set with classes.


def test_the_images_of_some_classes_are_those_of_all_with_the_others_left_out():
    everything, some, rest = (Digits(batch_size=8, only_classes=classes) for classes in (None, [8, 3], [0, 1, 2, 4, 5, 6, 7, 9]))
    for split in SPLITS:
        images, labels = everything.arrays(split)
        kept = np.isin(labels, [3, 8])
        assert np.array_equal(some.arrays(split)[0], images[kept])
        assert np.array_equal(rest.arrays(split)[0], images[~kept])
        assert set(some.arrays(split)[1]) == {3, 8}
    assert some.num_classes == 10


def test_scores_of_a_part_are_never_ranked_with_those_of_the_whole():
    part = Digits(batch_size=8, only_classes=[3, 8])
    assert part.protocol("test")["only_classes"] == [3, 8]
    assert "only_classes" not in Digits(batch_size=8).protocol("test")
    assert Digits(**part.specification()["init_args"]).protocol("test") == part.protocol("test")


def test_the_factors_follow_the_images_that_are_kept():
    data = Factors(batch_size=8, only_classes=[1])
    assert len(data.factors("test")) == data.split_size("test")
    images, _ = data.batch("test", [5])
    assert np.array_equal(images[0, 0].numpy(), render(*data.factors("test")[5]))


@pytest.mark.parametrize("classes", [[], [10], [-1, 3]])
def test_classes_that_are_not_there_are_refused(classes):
    with pytest.raises(UserError, match=r"data.only_classes: expected labels from 0 to 9"):
        Digits(batch_size=8, only_classes=classes).arrays("train")
