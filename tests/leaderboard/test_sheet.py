"""What a sheet says of its noise is read back from the file, and what is not ours is not believed."""

import json

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from lightning_gen.leaderboard.sheet import KEY, LONGEST, SheetNoise, noise_of_sheet

NOISE = SheetNoise(seed=3, draws=["normal z (100)"], columns=8, labels=[0, 1])


def sheet(path, text=None, keyword=KEY):
    told = PngInfo()
    if text is not None:
        told.add_text(keyword, text)
    Image.new("RGB", (4, 4)).save(path, format="PNG", pnginfo=told)
    return path


def test_a_sheet_says_what_was_written_to_it(tmp_path):
    assert noise_of_sheet(sheet(tmp_path / "a.png", NOISE.as_text())) == NOISE


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "{",
        "[]",
        "[" * 5000,
        json.dumps({"seed": "3", "draws": [], "columns": None, "labels": None}),
        json.dumps({"seed": 3, "draws": [{"a": 1}], "columns": None, "labels": None}),
        json.dumps({"seed": 3, "draws": ["x" * LONGEST], "columns": None, "labels": None}),
        json.dumps({"seed": 3, "draws": [], "columns": None, "labels": None, "more": 1}),
    ],
)
def test_what_none_of_ours_would_say_is_not_believed(tmp_path, text):
    assert noise_of_sheet(sheet(tmp_path / "a.png", text)) is None


def test_what_is_no_picture_says_nothing(tmp_path):
    (tmp_path / "a.png").write_bytes(b"GIF89a")
    assert noise_of_sheet(tmp_path / "a.png") is None
    assert noise_of_sheet(tmp_path / "none.png") is None
    assert noise_of_sheet(sheet(tmp_path / "b.png", NOISE.as_text(), "Comment")) is None
