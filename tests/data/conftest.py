"""Small folders of images, and a data set that a user could have written."""

import pathlib
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from lightning_gen.data.base import ImageDataModule


class Ramp(ImageDataModule):
    """Random images; the label of image i is i, so that a batch tells which images it holds."""

    name = "ramp"
    data_shape = (1, 4, 4)
    sizes = {"train": 203, "validation": 130, "test": 70}  # noqa: RUF012

    def load(self, split: str) -> tuple[np.ndarray, np.ndarray]:
        count = self.sizes[split]
        images = np.random.default_rng(count).integers(0, 256, size=(count, 1, 4, 4), dtype=np.uint8)
        return images, np.arange(count)


@pytest.fixture
def ramp() -> type[Ramp]:
    return Ramp


@pytest.fixture
def cache(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """The folder for decoded images, empty."""
    monkeypatch.setenv("LIGHTNING_GEN_DATA", str(tmp_path / "cache"))
    return tmp_path / "cache" / "decoded"


@pytest.fixture
def write_image() -> Callable[..., None]:
    def write(path: pathlib.Path, value: int = 0, size: tuple[int, int] = (10, 8)) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(value).integers(0, 256, size=(size[1], size[0], 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)

    return write


@pytest.fixture
def folder(tmp_path: pathlib.Path, write_image: Callable[..., None]) -> pathlib.Path:
    """40 images in two classes, without split folders."""
    for number in range(40):
        write_image(tmp_path / "pictures" / ("cat" if number % 4 else "dog") / f"{number:02}.png", number)
    return tmp_path / "pictures"
