"""What holds for every data set, and the line that every bad input gets."""

import json
import pathlib

import numpy as np
import pytest
import torch

import lightning_gen.data as catalogue
from lightning_gen.data.base import SPLITS, ImageDataModule, constructor_arguments, default_root
from lightning_gen.data.photo_patches import patches
from lightning_gen.errors import UserError
from lightning_gen.registry import build, resolve

GENERATED = {
    "Digits": {},
    "PhotoPatches": {},
    "Factors": {},
    "ToyDensity": {"density": "two_moons"},
}


def make(name, **arguments):
    return getattr(catalogue, name)(**{"batch_size": 8, **GENERATED.get(name, {}), **arguments})


def test_the_catalogue_lists_every_data_set_with_its_summary():
    for name in dir(catalogue):
        cls = resolve(name, ImageDataModule, "data")
        assert cls.__name__ == name
        assert cls.summary
        assert "\n" not in cls.summary


@pytest.mark.parametrize("name", dir(catalogue))
def test_arguments_are_documented(name):
    cls = getattr(catalogue, name)
    documents = "".join(owner.__doc__ or "" for owner in cls.__mro__[:-3])
    assert all(f" {argument}: " in documents for argument in constructor_arguments(cls))


@pytest.mark.parametrize("name", GENERATED)
def test_everything_is_known_before_loading(name):
    data = make(name)
    described = (data.name, data.data_shape, data.num_bits, data.num_classes, data.num_attributes, data.extractors, data.metrics)
    assert not data._arrays
    images, labels = data.batch("test", range(3))
    assert images.shape[1:] == tuple(data.data_shape)
    assert images.dtype == (torch.uint8 if len(data.data_shape) == 3 else torch.float32)
    assert labels.dtype == torch.int64
    assert int(labels.max()) < max(1, data.num_classes)
    assert described[0]


@pytest.mark.parametrize("name", GENERATED)
def test_the_specification_rebuilds_the_same_data(name, tmp_path):
    data = make(name, seed=3, root=str(tmp_path))
    specification = data.specification()
    assert json.loads(json.dumps(specification)) == specification
    assert str(tmp_path) not in json.dumps(specification)
    again = build(specification, ImageDataModule, "data", root=str(tmp_path))
    assert again.specification() == specification
    assert again.protocol("test") == data.protocol("test")
    assert torch.equal(next(iter(again.train_loader()))[0], next(iter(data.train_loader()))[0])


@pytest.mark.parametrize("binarization", ["threshold", "dynamic", "static"])
def test_binarized_data_is_rebuilt_with_one_bit(ramp, binarization):
    data = ramp(batch_size=8, binarization=binarization)
    assert data.num_bits == 1
    assert ramp(**data.specification()["init_args"]).specification() == data.specification()


def test_the_protocol_is_the_question_and_not_the_training():
    plain = make("Digits").protocol("test")
    assert plain == make("Digits", batch_size=2, seed=9, horizontal_flip=True).protocol("test")
    others = [plain, make("Digits").protocol("validation"), make("Digits", num_bits=3).protocol("test")]
    others += [make("Digits", binarization=kind).protocol("test") for kind in ("threshold", "dynamic", "static")]
    assert len({json.dumps(other) for other in others}) == 6
    assert make("Digits", horizontal_flip=True).specification() != make("Digits").specification()


@pytest.mark.parametrize("stage", ["fit", "validate", "test", None])
def test_setup_loads_the_splits_of_its_stage(ramp, stage):
    data = ramp(batch_size=8)
    data.setup(stage)
    expected = {"fit": {"train", "validation"}, "validate": {"validation"}, "test": {"test"}, None: set(SPLITS)}
    assert set(data._arrays) == expected[stage]


def test_num_bits_keeps_the_leading_bits(ramp):
    original = torch.from_numpy(ramp(batch_size=8).load("test")[0])
    reduced = ramp(batch_size=8, num_bits=2).batch("test", range(70))[0]
    assert torch.equal(reduced, (original >> 6) * 85)


def test_digits_splits_are_disjoint_cover_the_set_and_never_change():
    from sklearn.datasets import load_digits

    data = make("Digits", num_bits=8)
    images, labels = (np.concatenate(parts) for parts in zip(*(data.load(split) for split in SPLITS), strict=True))
    values = np.round(images.reshape(-1, 64) * (16 / 255.0))
    rows = np.concatenate([values, labels[:, None]], axis=1)
    original = np.concatenate([load_digits().data, load_digits().target[:, None]], axis=1)
    assert np.array_equal(rows[np.lexsort(rows.T)], original[np.lexsort(original.T)])
    assert [data.split_size(split) for split in SPLITS] == [997, 400, 400]
    assert [data.load(split)[1][:8].tolist() for split in SPLITS] == DIGITS_LABELS


DIGITS_LABELS = [[0, 4, 6, 5, 6, 5, 8, 5], [4, 9, 9, 0, 6, 1, 1, 2], [5, 7, 2, 8, 3, 9, 2, 6]]


def test_digits_have_sixteen_levels():
    assert make("Digits").batch("train", range(997))[0].unique().tolist() == [17 * level for level in range(16)]


def test_patches_of_different_splits_share_no_pixel(monkeypatch):
    from sklearn.utils import Bunch

    column = np.broadcast_to(np.arange(640)[None], (427, 640))
    photo = np.stack([column >> 8, column & 255, column * 0], axis=-1).astype(np.uint8)
    monkeypatch.setattr("sklearn.datasets.load_sample_images", lambda: Bunch(images=[photo, photo]))
    columns = {}
    for split in SPLITS:
        images = make("PhotoPatches").load(split)[0].astype(int)
        columns[split] = set((images[:, 0] * 256 + images[:, 1]).ravel().tolist())
    assert not columns["train"] & columns["validation"]
    assert not (columns["train"] | columns["validation"]) & columns["test"]


def test_a_patch_is_a_piece_of_the_photograph():
    from sklearn.datasets import load_sample_images

    photo = load_sample_images().images[0]
    images, _ = make("PhotoPatches").load("train")
    in_rows = patches(photo[:, :448])
    # Second row of patches (53 per row), third patch.
    assert np.array_equal(in_rows[53 + 2].transpose(1, 2, 0), photo[8:40, 16:48])
    assert {patch.tobytes() for patch in in_rows} <= {image.tobytes() for image in images}


def test_the_first_patches_are_not_the_upper_edge_of_a_photograph():
    images, _ = make("PhotoPatches").load("test")
    means = images.reshape(len(images), -1).mean(1)
    assert abs(means[:300].mean() - means.mean()) < 3 * means.std() / np.sqrt(300)


@pytest.mark.parametrize("density", ["two_gaussians", "three_gaussians", "two_moons", "eight_gaussians", "checkerboard", "spirals"])
def test_densities_are_fixed_and_their_splits_share_no_point(density):
    first, again = make("ToyDensity", density=density), make("ToyDensity", density=density, seed=4)
    points = [first.arrays(split)[0] for split in SPLITS]
    assert all(np.array_equal(part, again.arrays(split)[0]) for split, part in zip(SPLITS, points, strict=True))
    together = np.concatenate(points).astype(np.float64)
    assert len(together) == 70_000
    # float32 draws on the line coincide now and then by chance; copies of a split would coincide everywhere.
    assert len(np.unique(together, axis=0)) > 68_000


def test_densities_are_what_their_names_say():
    def draw(name):
        return make("ToyDensity", density=name).arrays("train")[0].astype(np.float64)

    assert abs((draw("two_gaussians") > 0).mean() - 0.5) < 0.01
    assert abs((np.abs(draw("two_gaussians")) - 2).std() - 0.5) < 0.02
    assert np.allclose([(draw("three_gaussians") < -1.8).mean(), (draw("three_gaussians") > 1.4).mean()], [0.2, 0.3], atol=0.01)
    angles = np.arange(8) * np.pi / 4
    centres = 2 * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    nearest = ((draw("eight_gaussians")[:, None] - centres) ** 2).sum(-1)
    assert np.allclose(np.bincount(nearest.argmin(1)) / len(nearest), 1 / 8, atol=0.01)
    assert abs(nearest.min(1).mean() - 2 * 0.2**2) < 0.003
    squares = np.floor(draw("checkerboard")).astype(int)
    assert (squares.sum(1) % 2 == 0).all()
    assert sorted(set(squares.ravel())) == [-2, -1, 0, 1]
    assert len(np.unique(squares, axis=0)) == 8
    radius, angle = np.hypot(*draw("spirals").T), np.arctan2(*draw("spirals").T[::-1])
    outside = radius > 0.5
    # On an arm the angle is 3 pi r / 2, up to the half turn between the two arms.
    assert np.abs(np.sin(angle - 1.5 * np.pi * radius)[outside]).mean() < 0.3
    x, y = draw("two_moons").T
    upper = np.abs(np.hypot(x + 0.5, y + 0.25) - 1)
    lower = np.abs(np.hypot(x - 0.5, y - 0.25) - 1)
    assert np.minimum(upper, lower).max() < 0.6
    assert np.minimum(upper, lower).mean() < 0.09


class Minimal(ImageDataModule):
    """Everything that a user has to write."""

    name = "minimal"
    data_shape = (1, 2, 2)
    answer = (np.zeros((5, 1, 2, 2), np.uint8), None)

    def load(self, split):
        return self.answer


def test_a_name_a_shape_and_load_make_a_data_set():
    images, labels = next(iter(Minimal(batch_size=4).train_dataloader()))
    assert images.shape == (4, 1, 2, 2)
    assert labels.tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("answer", "line"),
    [
        ((np.zeros((5, 2, 2), np.uint8), None), r"expected images uint8 \(N, 1, 2, 2\), got uint8 \(5, 2, 2\)"),
        ((np.zeros((5, 1, 2, 2)), None), r"expected images uint8 \(N, 1, 2, 2\), got float64 \(5, 1, 2, 2\)"),
        ((np.zeros((5, 1, 2, 2), np.uint8), [1, 2]), "expected 5 labels, got 2"),
        ((np.zeros((0, 1, 2, 2), np.uint8), None), "expected at least one image, got none"),
    ],
)
def test_what_load_returns_is_checked(monkeypatch, answer, line):
    monkeypatch.setattr(Minimal, "answer", answer)
    with pytest.raises(UserError, match=rf"data \(Minimal\), train split: {line}"):
        Minimal(batch_size=1).train_dataloader()


@pytest.mark.parametrize("options", [{"binarization": "static"}, {"horizontal_flip": True}])
def test_vectors_are_neither_binarized_nor_mirrored(monkeypatch, options):
    monkeypatch.setattr(Minimal, "answer", (np.zeros((5, 2), np.float32), None))
    monkeypatch.setattr(Minimal, "data_shape", (2,))
    with pytest.raises(UserError, match=r"data \(Minimal\), train split: vectors can neither be binarized nor mirrored"):
        Minimal(batch_size=1, **options).train_dataloader()


@pytest.mark.parametrize(
    ("name", "arguments", "line"),
    [
        ("Digits", {"batch_size": 0}, r"data\.batch_size: expected an integer of at least 1, got 0"),
        ("Digits", {"batch_size": -4}, r"data\.batch_size: .* got -4"),
        ("Digits", {"batch_size": 2.5}, r"data\.batch_size: .* got 2\.5"),
        ("Digits", {"seed": -1}, r"data\.seed: expected an integer of at least 0, got -1"),
        ("Digits", {"num_bits": 9}, r"data\.num_bits: expected 1 to 8, got 9"),
        ("Digits", {"num_bits": 0}, r"data\.num_bits: expected 1 to 8, got 0"),
        (
            "Digits",
            {"num_bits": 8, "binarization": "static"},
            r"data\.num_bits: expected 1 or nothing with data\.binarization: static, got 8",
        ),
        ("Digits", {"binarization": "dynamik"}, r"data\.binarization: unknown value 'dynamik'; did you mean 'dynamic'\?"),
        ("MNIST", {"padding": -1}, r"data\.padding: expected an integer of at least 0, got -1"),
        ("MNIST", {"image_size": 0}, r"data\.image_size: expected an integer of at least 1, got 0"),
        ("CIFAR10", {"channels": 2}, r"data\.channels: expected 1 \(grey\) or 3 \(RGB\), got 2"),
        ("CelebA", {"crop": 200}, r"data\.crop: expected at most 178, the width of the images, got 200"),
        ("CelebA", {"image_size": 0}, r"data\.image_size: expected an integer of at least 1, got 0"),
        ("ToyDensity", {"density": "two_moon"}, r"data\.density: unknown value 'two_moon'; did you mean 'two_moons'\?"),
        (
            "ImageFolder",
            {"root": "/nowhere", "image_size": 8},
            r"data\.root: expected a folder of images, got /nowhere, which does not exist",
        ),
        ("ImageFolder", {"root": "/", "image_size": 0}, r"data\.image_size: expected an integer of at least 1, got 0"),
        ("ImageFolder", {"root": "/", "image_size": 8, "channels": 4}, r"data\.channels: expected 1 \(grey\) or 3 \(RGB\), got 4"),
        (
            "ImageFolder",
            {"root": "/", "image_size": 8, "on_error": "ignore"},
            r"data\.on_error: unknown value 'ignore'; expected one of skip, stop",
        ),
    ],
)
def test_bad_arguments_are_refused_in_one_line(name, arguments, line):
    with pytest.raises(UserError, match=line) as caught:
        make(name, **arguments)
    assert "\n" not in str(caught.value)


def test_an_unknown_split_is_refused():
    with pytest.raises(UserError, match=r"split: unknown value 'valid'; did you mean 'validation'\?"):
        make("Digits").split_size("valid")


def test_the_default_folder_comes_from_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("LIGHTNING_GEN_DATA", str(tmp_path))
    assert make("Digits").root == str(tmp_path)
    monkeypatch.delenv("LIGHTNING_GEN_DATA")
    assert default_root() == str(pathlib.Path.home() / ".cache" / "lightning-gen")
