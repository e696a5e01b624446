"""Plots show each point and each value at its place."""

import pytest
import torch

from lightning_gen.analysis.plots import Box, bars, blank, box_of, dots, filled, heat, line, ticks

UNIT = Box((0.0, 0.0), (1.0, 1.0))
RED = torch.tensor([200, 0, 0])


def test_a_dot_lies_at_its_coordinates_and_what_is_outside_is_left_out():
    points = torch.tensor([[0.0, 0.0], [0.999, 0.999], [2.0, 0.5], [torch.nan, 0.5], [-0.1, 0.5]])
    picture = dots([(points, RED)], UNIT, 100)
    places = (picture[1] == 0).nonzero()
    assert places.tolist() == [[1, 97], [1, 98], [2, 97], [2, 98], [98, 0], [98, 1], [99, 0], [99, 1]]


def test_later_dots_lie_above_earlier_ones():
    point = torch.tensor([[0.5, 0.5]])
    picture = dots([(point, RED), (point, torch.tensor([0, 0, 200]))], UNIT, 20)
    assert not (picture[0] == 200).any()
    assert (picture[2] == 200).sum() == 4


def test_heat_grows_from_dark_to_bright_and_is_cut_off_at_the_top():
    brightness = heat(torch.tensor([[0.0, 0.25, 0.5, 0.75, 1.0, 7.0]]), 1.0, 6).int().sum(0)[0]
    assert (brightness[:5].diff() > 0).all()
    assert brightness[4] == brightness[5]
    assert (heat(torch.zeros(2, 2), 0.0, 4) == heat(torch.zeros(2, 2), 1.0, 4)).all()


def test_bars_are_a_density():
    _, heights = bars(torch.randn(1000).clamp(-3, 3), Box((-3.0,), (3.0,)), 640)
    assert heights.sum() * 6 / 64 == pytest.approx(1)


def test_bars_and_curves_reach_their_heights():
    picture = blank(101, 4)
    filled(picture, torch.tensor([0.0, 0.25, 0.5, 1.0]), 1.0, (9, 9, 9))
    assert (picture[0] == 9).sum(0).tolist() == [0, 25, 50, 100]
    line(picture, torch.tensor([0.0, 0.0, 0.5, 0.5]), 1.0, (7, 7, 7))
    assert (picture[0] == 7)[:, 2].nonzero().flatten().tolist() == [*range(50, 101)]  # joined to the column before
    assert (picture[0] == 7)[:, 3].nonzero().flatten().tolist() == [50, 51]


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(-2.3, 2.3, [-2, -1, 0, 1, 2]), (0, 0.19, [0, 0.05, 0.1, 0.15]), (-30, 130, [0, 50, 100]), (0.1, 0.3, [0.1, 0.15, 0.2, 0.25, 0.3])],
)
def test_numbers_at_axes_are_round(low, high, expected):
    assert ticks(low, high) == pytest.approx(expected)


def test_a_box_of_a_share_leaves_out_the_far_ones():
    points = torch.linspace(0, 1, 1001)[:, None].expand(-1, 2).double().clone()
    points[-1] = 1e6
    low, high = box_of(points, margin=0.0, share=0.98)
    assert low == pytest.approx((0.01, 0.01), abs=1e-3)
    assert high == pytest.approx((0.99, 0.99), abs=1e-3)
    assert box_of(torch.ones(3, 2)).high[0] > 1
