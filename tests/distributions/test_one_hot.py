"""The uniform one-hot distribution, by enumeration."""

import math

import pytest
import torch

from lightning_gen.distributions.one_hot import UniformOneHot
from lightning_gen.noise import IndexedNoise, Noise


def test_the_masses_of_its_values_sum_to_one(float64):
    of = UniformOneHot(7)
    assert of.log_prob(of.support()).exp().sum().item() == pytest.approx(1, rel=1e-14)
    torch.testing.assert_close(of.support().mean(0), of.mean)


def test_every_value_is_drawn_as_often(float64):
    z = UniformOneHot(5).sample(IndexedNoise(0, range(5000)), "z", (4, 5))
    assert z.shape == (5000, 4, 5)
    assert (z.sum(-1) == 1).all()
    assert ((z.mean((0, 1)) - 0.2).abs() < 5 * math.sqrt(0.2 * 0.8 / 20_000)).all()


class Highest(Noise):
    """The largest uniform number below 1."""

    def __len__(self):
        return 1

    def normal(self, name, shape):
        raise NotImplementedError

    def uniform(self, name, shape):
        return torch.full((1, *shape), 1 - 2**-24)


@pytest.mark.parametrize("count", [1, 2, 3, 10, 1000, 4097])
def test_no_draw_is_rounded_up_beyond_the_last_category(count):
    assert UniformOneHot(count).sample(Highest(), "z", (count,)).argmax(-1).item() == count - 1
