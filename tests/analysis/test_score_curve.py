"""The curve of the headline score: which points are read, and where the best and the last are marked."""

import math

import pytest
import torch

from lightning_gen.analysis.plots import DATA_COLOUR, Box
from lightning_gen.analysis.score_curve import HEIGHT, MARK, WIDTH, mark, read_curve, score_curve
from lightning_gen.analysis.sheets import blank


def written(folder, rows):
    columns = ["progress/images", "train/loss", "eval/FD(net)", "full/FD(net)"]
    lines = [",".join(columns), *(",".join("" if value is None else str(value) for value in row) for row in rows)]
    (folder / "metrics.csv").write_text("\n".join(lines) + "\n")
    return folder / "metrics.csv"


def test_scores_of_the_full_protocol_are_read_where_there_are_two_else_those_of_few_samples(tmp_path):
    few = [(10, 1.0, 5.0, None), (20, 1.0, 4.0, None)]
    assert read_curve(written(tmp_path, few), "FD(net)") == [(10, 5.0), (20, 4.0)]
    assert read_curve(written(tmp_path, [*few, (30, 1.0, None, 7.0)]), "FD(net)") == [(10, 5.0), (20, 4.0)]
    assert read_curve(written(tmp_path, [*few, (30, 1.0, None, 7.0), (40, 1, None, 6.0)]), "FD(net)") == [(30, 7.0), (40, 6.0)]
    assert read_curve(written(tmp_path, few[:1]), "FD(net)") == []
    assert read_curve(written(tmp_path, few), "IS") == []


def test_of_a_point_that_was_logged_twice_the_later_counts_and_what_is_not_finite_is_left_out(tmp_path):
    rows = [(20, 1, 9.0, None), (30, 1, 8.0, None), (20, 1, 5.0, None), (40, 1, math.nan, None)]
    assert read_curve(written(tmp_path, rows), "FD(net)") == [(20, 5.0), (30, 8.0)]


@pytest.mark.parametrize(("point", "top", "left"), [((0, 0), HEIGHT - MARK, 0), ((10, 5), 0, WIDTH - MARK), ((0, 5), 0, 0)])
def test_a_point_is_marked_where_it_lies(point, top, left):
    plot = blank(HEIGHT, WIDTH)
    mark(plot, point, Box((0, 0), (10, 5)))
    marked = (plot == torch.tensor(DATA_COLOUR, dtype=torch.uint8).view(3, 1, 1)).all(0).nonzero()
    assert (marked[:, 0].min(), marked[:, 1].min(), len(marked)) == (top, left, MARK**2)


@pytest.mark.parametrize("values", [[3.0, 1.0, 2.0], [0.0, 0.0], [-2.0, -1.0]])
@pytest.mark.parametrize("better", ["lower", "higher"])
def test_every_curve_can_be_drawn(values, better):
    picture = score_curve([(10 * number, value) for number, value in enumerate(values)], "FD(net)", better)
    assert (picture.dtype, picture.shape[0]) == (torch.uint8, 3)
