"""Pictures appear when they are due, show what they say, and leave training exactly as it would have been."""

from __future__ import annotations

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from PIL import Image
from pytorch_lightning.loggers import Logger
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from lightning_gen.callbacks.every import EveryImages
from lightning_gen.callbacks.pictures import ReconstructionGrid, SampleGrid, class_rows, plot_vectors
from lightning_gen.errors import UserError
from lightning_gen.images import from_unit, make_grid, to_unit
from lightning_gen.leaderboard.sheet import SheetNoise, noise_of_sheet
from lightning_gen.models.base import GenerativeModel
from lightning_gen.models.sampling import SamplesFromNoise


class Tiny(SamplesFromNoise, GenerativeModel):
    """A linear autoencoder with BatchNorm and dropout: whatever disturbs the mode or the random numbers changes its weights."""

    def __init__(self, data_shape: list[int], num_classes: int = 0, conditional: bool = False) -> None:
        super().__init__(data_shape, num_classes=num_classes, conditional=conditional)
        size = int(np.prod(data_shape))
        self.net = nn.Sequential(nn.Linear(size, size), nn.BatchNorm1d(size), nn.Dropout(0.2), nn.Linear(size, size))

    def output(self, values):
        return values.clamp(0, 1) if len(self.data_shape) == 1 else from_unit(values)

    def sample_images(self, noise, *, labels=None):
        values = self.net(noise.normal("z", (self.net[0].in_features,))).view(-1, *self.data_shape)
        if labels is not None:
            values = (labels / self.num_classes).view(-1, 1, 1, 1).expand(values.shape)
        return self.output(values)

    def reconstruct(self, images, *, labels=None):
        return 255 - images if len(self.data_shape) == 3 else -images

    def training_step(self, batch, batch_idx):
        x = (to_unit(batch[0]) if batch[0].dtype == torch.uint8 else batch[0]).flatten(1)
        x = x + 0.1 * self.step_noise(batch).normal("x", x.shape[1:])
        loss = ((self.net(x) - x) ** 2).mean()
        self.log_terms({"loss": loss})
        return loss

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters())


class Mute(GenerativeModel):
    """Can neither sample nor reconstruct."""

    def __init__(self, data_shape: list[int]) -> None:
        super().__init__(data_shape)
        self.weight = nn.Parameter(torch.zeros(1))

    def training_step(self, batch, batch_idx):
        return self.weight.sum()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


class Data(pl.LightningDataModule):
    """40 images of growing brightness in batches of 8, as training and as validation data."""

    def __init__(self, data_shape: tuple[int, ...]) -> None:
        super().__init__()
        levels = torch.arange(40).view(-1, *[1] * len(data_shape)).expand(-1, *data_shape)
        self.images = levels.to(torch.uint8) if len(data_shape) == 3 else levels / 40

    def train_dataloader(self):
        return DataLoader(TensorDataset(self.images, torch.zeros(40, dtype=torch.int64)), batch_size=8)

    def split_size(self, split):
        return {"validation": 20}[split]

    def batch(self, split, indices, device):
        assert max(indices) < self.split_size(split)
        return self.images[indices].to(device), torch.zeros(len(indices), dtype=torch.int64)


class Album(Logger):
    """Keeps the pictures it is given."""

    name, version = "album", 0

    def __init__(self) -> None:
        super().__init__()
        self.pictures = []

    def log_hyperparams(self, *args, **kwargs): ...

    def log_metrics(self, *args, **kwargs): ...

    def log_media(self, name, picture, images_seen):
        self.pictures.append((name, picture, images_seen))


def fit(folder, callbacks, model=None, loggers=(), max_epochs=1):
    torch.manual_seed(0)
    model = model or Tiny([1, 4, 4])
    trainer = pl.Trainer(
        default_root_dir=folder, callbacks=callbacks, logger=list(loggers), max_epochs=max_epochs, accelerator="cpu",
        enable_progress_bar=False, enable_model_summary=False, enable_checkpointing=False,
    )  # fmt: skip
    trainer.fit(model, datamodule=Data(model.data_shape))
    return model


def names(folder):
    return sorted(path.name for path in (folder / "pictures").glob("*")) if (folder / "pictures").exists() else []


def read(path):
    return torch.from_numpy(np.array(Image.open(path))).permute(2, 0, 1)


# When


@pytest.mark.parametrize(("every", "due"), [(0, []), (8, [8, 16, 24, 32]), (10, [16, 24, 32]), (16, [16, 32]), (20, [24]), (100, [])])
def test_due_once_for_each_multiple_that_a_batch_reaches(every, due):
    model = Tiny([1, 2, 2])
    model.last_batch = (torch.zeros(8, 1, 2, 2), torch.zeros(8))
    callback, found = EveryImages(every), []
    for model.images_seen in range(8, 40, 8):
        found += [model.images_seen] if callback.due(model) else []
    assert found == due


def test_not_due_before_the_first_batch_and_negative_intervals_are_refused():
    assert not EveryImages(8).due(Tiny([1, 2, 2]))
    with pytest.raises(UserError, match=r"every_images: .* got -1"):
        EveryImages(-1)
    with pytest.raises(UserError, match=r"num_images: .* got 0"):
        SampleGrid(8, num_images=0)


def test_pictures_are_drawn_when_due_and_once_at_the_end(tmp_path):
    fit(tmp_path / "a", [SampleGrid(16)])
    assert names(tmp_path / "a") == [f"samples_{images:010d}.png" for images in (16, 32, 40)]
    album = Album()
    fit(tmp_path / "b", [SampleGrid(20), ReconstructionGrid(1000)], loggers=[album])
    assert [(name, images) for name, _, images in album.pictures] == [
        ("pictures/samples", 24), ("pictures/samples", 40), ("pictures/reconstructions", 40),
    ]  # fmt: skip
    fit(tmp_path / "c", [SampleGrid(0), ReconstructionGrid(0)])
    assert names(tmp_path / "c") == []


def test_other_ranks_draw_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(pl.Trainer, "is_global_zero", False)
    fit(tmp_path, [SampleGrid(8)])
    assert names(tmp_path) == []


# What


def test_file_and_loggers_show_the_samples_of_the_seed_with_averaged_weights(tmp_path):
    model, album = Tiny([1, 4, 4]), Album()
    model.averaged_networks = ("net",)
    model.create_ema()
    fit(tmp_path, [SampleGrid(1000, num_images=9, seed=3)], model, loggers=[album])
    expected = make_grid(model.sample(9, seed=3, weights="ema"))
    assert not torch.equal(expected, make_grid(model.sample(9, seed=3, weights="live")))
    assert torch.equal(album.pictures[0][1], expected)
    assert torch.equal(read(tmp_path / "pictures" / "samples_0000000040.png"), expected)


def test_a_conditional_model_has_one_class_in_each_row(tmp_path):
    model, album = Tiny([1, 32, 32], num_classes=4, conditional=True), Album()
    fit(tmp_path, [SampleGrid(1000, num_images=22)], model, loggers=[album])
    tiles = album.pictures[0][1][0, 1:, 1:].unfold(0, 32, 33).unfold(1, 32, 33)  # rows, columns, height, width
    assert tiles.shape[:2] == (4, 5)
    for label in range(4):
        assert torch.equal(tiles[label].unique(), from_unit(torch.tensor([label / 4])))


def test_a_sheet_says_which_noise_it_was_drawn_from(tmp_path):
    fit(tmp_path / "a", [SampleGrid(1000, num_images=9, seed=3), ReconstructionGrid(1000)])
    file = tmp_path / "a" / "pictures" / "samples_0000000040.png"
    assert noise_of_sheet(file) == SheetNoise(seed=3, draws=["normal z (16)"], columns=3, labels=None)
    assert noise_of_sheet(file.with_name("reconstructions_0000000040.png")) is None
    fit(tmp_path / "b", [SampleGrid(1000, num_images=8)], Tiny([1, 32, 32], num_classes=2, conditional=True))
    told = noise_of_sheet(tmp_path / "b" / "pictures" / "samples_0000000040.png")
    assert told == SheetNoise(seed=0, draws=["normal z (1024)"], columns=4, labels=[0] * 4 + [1] * 4)


def test_a_plot_of_vectors_has_no_columns_and_a_model_that_keeps_no_draws_is_silent(tmp_path):
    fit(tmp_path / "a", [SampleGrid(1000, num_images=2)], Tiny([3]))
    told = noise_of_sheet(tmp_path / "a" / "pictures" / "samples_0000000040.png")
    assert told == SheetNoise(seed=0, draws=["normal z (3)"], columns=None, labels=None)
    assert SampleGrid(8).texts(Tiny([1, 4, 4])) == {}


@pytest.mark.parametrize("num_classes", [1, 10, 100, 1000])
@pytest.mark.parametrize("num_images", [1, 5, 64])
def test_class_rows_fit_the_number_of_images_and_name_different_classes(num_classes, num_images):
    labels, columns = class_rows([*range(num_classes)], num_images)
    grid = labels.view(-1, columns)
    assert len(labels) <= num_images < len(labels) + len(grid)
    assert (grid == grid[:, :1]).all()
    assert len(grid[:, 0].unique()) == len(grid)
    assert labels.max() < num_classes


def test_reconstructions_stand_to_the_right_of_the_first_validation_images(tmp_path):
    album = Album()
    fit(tmp_path, [ReconstructionGrid(1000, num_images=6)], Tiny([1, 32, 32]), loggers=[album])
    tiles = album.pictures[0][1][0, 1:, 1:].unfold(0, 32, 33).unfold(1, 32, 33)[..., 0, 0].flatten().tolist()
    assert tiles[:12] == [value for level in range(6) for value in (level, 255 - level)]


def test_reconstructions_take_what_a_small_validation_split_has(tmp_path):
    fit(tmp_path, [ReconstructionGrid(1000, num_images=999)])
    assert names(tmp_path) == ["reconstructions_0000000040.png"]


def test_points_appear_where_they_are_above_the_data():
    blue, orange, white = [31, 78, 160], [224, 130, 40], [255, 255, 255]
    frame = torch.tensor([[-1.0, -1.0], [1.0, 1.0], [float("inf"), 0.0]])
    picture = plot_vectors(torch.tensor([[1.0, -1.0], [float("nan"), 0.0], [50.0, 50.0]]), frame)
    assert picture.dtype == torch.uint8
    assert picture.shape == (3, 256, 256)
    low, high = int(256 / 12), int(256 * 11 / 12)  # of the frame with its margin of a tenth
    assert picture[:, 255 - low, high].tolist() == blue
    assert picture[:, 255 - low, low].tolist() == picture[:, 255 - high, high].tolist() == orange
    assert (picture == torch.tensor(white).view(3, 1, 1)).all(0).sum() == 256 * 256 - 3


def test_the_histogram_is_highest_where_most_values_lie():
    values = torch.cat([torch.full((90, 1), 0.25), torch.full((30, 1), 0.75), torch.tensor([[0.0], [1.0]])])
    ink = (plot_vectors(values, values) == torch.tensor([31, 78, 160]).view(3, 1, 1)).all(0)
    heights = torch.where(ink.any(0), 256 - ink.float().argmax(0), 0)
    left, right = heights[:128].max().item(), heights[128:].max().item()
    assert left == 256
    assert right == pytest.approx(256 / 3, abs=2)
    assert ink.sum(0).max() > 250  # bars have sides


@pytest.mark.parametrize("dimensions", [1, 2, 3])
def test_vectors_are_plotted(tmp_path, dimensions):
    fit(tmp_path, [SampleGrid(16, num_images=2), ReconstructionGrid(1000)], Tiny([dimensions]))
    assert len(names(tmp_path)) == 4
    assert all(read(tmp_path / "pictures" / name).shape == (3, 256, 256) for name in names(tmp_path))


@pytest.mark.parametrize("dimensions", [1, 2])
@pytest.mark.parametrize(("value", "visible"), [(0.0, True), (float("nan"), False)])
def test_degenerate_vectors_make_a_picture_too(dimensions, value, visible):
    points = torch.full((4, dimensions), value)
    assert (plot_vectors(points, points)[0] == 31).any() == visible


# What not


def test_a_model_without_the_capability_is_left_alone_and_told_once(tmp_path, caplog):
    with caplog.at_level("INFO"):
        fit(tmp_path, [SampleGrid(8), ReconstructionGrid(8)], Mute([1, 4, 4]))
    assert names(tmp_path) == []
    said = [record.getMessage() for record in caplog.records if "no pictures" in record.getMessage()]
    assert said == [
        "SampleGrid: no pictures, Mute is not capable of sampling",
        "ReconstructionGrid: no pictures, Mute is not capable of reconstruction",
    ]


def test_training_is_bit_identical_with_and_without_pictures(tmp_path):
    runs = []
    for callbacks in ([], [SampleGrid(8), ReconstructionGrid(8)]):
        torch.manual_seed(1)
        model = Tiny([1, 4, 4])
        fit(tmp_path, callbacks, model, max_epochs=2)
        runs.append((model.state_dict(), torch.get_rng_state()))
    (plain, plain_rng), (drawn, drawn_rng) = runs
    assert len(names(tmp_path)) == 20
    assert plain.keys() == drawn.keys()
    assert all(torch.equal(plain[name], drawn[name]) for name in plain)
    assert torch.equal(plain_rng, drawn_rng)
