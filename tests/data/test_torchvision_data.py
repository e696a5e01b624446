"""MNIST, CIFAR and CelebA, from small files in their real layout on disk."""

import os
import pathlib
import pickle
import struct
import urllib.error

import numpy as np
import pytest
import torch
from PIL import Image

import lightning_gen.data as catalogue
from lightning_gen.data.base import SPLITS, default_root
from lightning_gen.errors import UserError

REAL_DATA = pathlib.Path(default_root())


def write_idx(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    header = struct.pack(">HBB", 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape)
    path.write_bytes(header + array.astype(np.uint8).tobytes())


@pytest.fixture
def mnist(tmp_path):
    """60 + 20 random images in the layout of MNIST and of Fashion-MNIST."""
    random = np.random.default_rng(0)
    parts = {"train": 60, "t10k": 20}
    images = {part: random.integers(0, 256, size=(count, 28, 28), dtype=np.uint8) for part, count in parts.items()}
    for name in ("MNIST", "FashionMNIST"):
        for part, pixels in images.items():
            write_idx(tmp_path / name / "raw" / f"{part}-images-idx3-ubyte", pixels)
            write_idx(tmp_path / name / "raw" / f"{part}-labels-idx1-ubyte", np.arange(len(pixels)) % 10)
    return tmp_path, images


@pytest.fixture
def small_validation(monkeypatch):
    for name in ("MNIST", "CIFAR10"):
        monkeypatch.setattr(getattr(catalogue, name), "validation_size", 15)


@pytest.mark.parametrize("name", ["MNIST", "FashionMNIST"])
@pytest.mark.usefixtures("small_validation")
def test_mnist_validates_on_the_end_of_the_original_training_images(mnist, name):
    root, images = mnist
    data = getattr(catalogue, name)(batch_size=4, root=str(root))
    data.prepare_data()
    loaded = [data.batch(split, range(data.split_size(split))) for split in SPLITS]
    assert [len(part) for part, _ in loaded] == [45, 15, 20]
    assert torch.equal(torch.cat([loaded[0][0], loaded[1][0]]), torch.from_numpy(images["train"])[:, None])
    assert torch.equal(loaded[2][0], torch.from_numpy(images["t10k"])[:, None])
    assert torch.cat([loaded[0][1], loaded[1][1]]).tolist() == [index % 10 for index in range(60)]


def test_mnist_is_padded_with_zeros_then_resized_then_given_channels(mnist):
    root, images = mnist
    original = torch.from_numpy(images["t10k"])[:, None]
    padded = catalogue.MNIST(batch_size=4, root=str(root), padding=2, channels=3).batch("test", range(20))[0]
    assert torch.equal(padded[:, :, 2:-2, 2:-2], original.expand(-1, 3, -1, -1))
    assert int(padded[:, :, :2].sum() + padded[:, :, -2:].sum() + padded[..., :2].sum() + padded[..., -2:].sum()) == 0
    resized = catalogue.MNIST(batch_size=4, root=str(root), padding=2, image_size=16).batch("test", range(20))[0]
    expected = Image.fromarray(padded[7, 0].numpy()).resize((16, 16), Image.Resampling.LANCZOS)
    assert np.array_equal(resized[7, 0].numpy(), np.asarray(expected))


def test_preprocessing_is_part_of_the_protocol(mnist):
    root, _ = mnist
    protocols = [
        catalogue.MNIST(batch_size=4, root=str(root), **options).protocol("test")
        for options in ({}, {"padding": 2}, {"image_size": 32}, {"channels": 3})
    ]
    assert len({repr(protocol) for protocol in protocols}) == 4
    assert protocols[0] == catalogue.MNIST(batch_size=4, root=str(root), image_size=28, channels=1).protocol("test")


def write_cifar(root, folder, batches, test, label, meta):
    random = np.random.default_rng(1)
    pixels = {}
    (root / folder).mkdir()
    for name in [*batches, test]:
        pixels[name] = random.integers(0, 256, size=(8, 3072), dtype=np.uint8)
        (root / folder / name).write_bytes(pickle.dumps({"data": pixels[name], label: [index % 10 for index in range(8)]}))
    (root / folder / meta).write_bytes(pickle.dumps({"label_names": ["a"] * 10, "fine_label_names": ["a"] * 100}))
    return pixels


@pytest.fixture
def _existing_files_are_intact(monkeypatch):
    for module in ("cifar", "celeba"):
        monkeypatch.setattr(f"torchvision.datasets.{module}.check_integrity", lambda path, md5=None: os.path.isfile(path))


CIFAR = [
    ("CIFAR10", "cifar-10-batches-py", [f"data_batch_{n}" for n in range(1, 6)], "test_batch", "labels", "batches.meta"),
    ("CIFAR100", "cifar-100-python", ["train"], "test", "fine_labels", "meta"),
]


@pytest.mark.parametrize(("name", "folder", "batches", "test", "label", "meta"), CIFAR)
@pytest.mark.usefixtures("_existing_files_are_intact")
def test_cifar_validates_on_the_end_of_the_original_training_images(tmp_path, monkeypatch, name, folder, batches, test, label, meta):
    pixels = write_cifar(tmp_path, folder, batches, test, label, meta)
    monkeypatch.setattr(catalogue.CIFAR10, "validation_size", 3)
    data = getattr(catalogue, name)(batch_size=4, root=str(tmp_path))
    data.prepare_data()
    parts = [data.batch(split, range(data.split_size(split))) for split in SPLITS]
    original = np.concatenate([pixels[part] for part in batches]).reshape(-1, 3, 32, 32)
    assert len(parts[1][0]) == 3
    assert np.array_equal(torch.cat([parts[0][0], parts[1][0]]).numpy(), original)
    assert np.array_equal(parts[2][0].numpy(), pixels[test].reshape(-1, 3, 32, 32))
    assert parts[2][1].tolist() == list(range(8))


@pytest.mark.usefixtures("_existing_files_are_intact")
def test_cifar_in_grey_is_pils_luma(tmp_path):
    pixels = write_cifar(tmp_path, *CIFAR[0][1:])["test_batch"].reshape(-1, 3, 32, 32)
    grey = catalogue.CIFAR10(batch_size=4, root=str(tmp_path), channels=1).batch("test", [2])[0]
    expected = np.asarray(Image.fromarray(pixels[2].transpose(1, 2, 0)).convert("L")).astype(int)
    assert abs(grey[0, 0].numpy() - expected).max() <= 1


@pytest.fixture
def celeba(tmp_path):
    """Six faces, two per split, with attributes that follow from their number."""
    folder = tmp_path / "celeba"
    (folder / "img_align_celeba").mkdir(parents=True)
    names = [f"{number:06}.jpg" for number in range(1, 7)]
    for number, name in enumerate(names):
        pixels = np.full((218, 178, 3), 255, np.uint8)
        pixels[35:183, 15:163] = 40 * number
        Image.fromarray(pixels).save(folder / "img_align_celeba" / name, quality=100)
    rows = {
        "list_attr_celeba": [" ".join("1" if (number >> bit) & 1 else "-1" for bit in range(40)) for number in range(6)],
        "list_bbox_celeba": ["0 0 1 1"] * 6,
        "list_landmarks_align_celeba": [" ".join(["0"] * 10)] * 6,
        "identity_CelebA": ["1"] * 6,
        "list_eval_partition": ["0", "0", "1", "1", "2", "2"],
    }
    for file, values in rows.items():
        header = ["6", " ".join(["column"] * len(values[0].split()))] if file.startswith("list_") and "partition" not in file else []
        lines = header + [f"{name} {value}" for name, value in zip(names, values, strict=True)]
        (folder / f"{file}.txt").write_text("\n".join(lines) + "\n")
    return tmp_path


@pytest.mark.usefixtures("_existing_files_are_intact")
def test_celeba_is_cropped_to_the_central_148_pixels_with_its_attributes_as_labels(celeba):
    data = catalogue.CelebA(batch_size=2, image_size=16, root=str(celeba))
    data.prepare_data()
    numbers = iter(range(6))
    for split in SPLITS:
        images, labels = data.batch(split, range(2))
        assert labels.shape == (2, 40)
        for image, label in zip(images, labels, strict=True):
            number = next(numbers)
            assert label.tolist() == [(number >> bit) & 1 for bit in range(40)]
            assert abs(image[:, 2:-2, 2:-2].int() - 40 * number).max() <= 2
            # The white frame lies outside the crop: no trace of it but what JPEG smears across the border.
            assert abs(image.int() - 40 * number).max() < 40
    assert len(list((celeba / "decoded").glob("*.npy"))) == 3


@pytest.mark.usefixtures("_existing_files_are_intact")
def test_a_missing_face_is_named(celeba):
    (celeba / "celeba" / "img_align_celeba" / "000003.jpg").unlink()
    with pytest.raises(UserError, match=r"data\.root: expected the image .*000003\.jpg, which cannot be found"):
        catalogue.CelebA(batch_size=2, image_size=16, root=str(celeba)).batch("validation", [0])


def no_network(*_, **__):
    raise urllib.error.URLError("no network")


@pytest.mark.parametrize("name", ["MNIST", "FashionMNIST", "CIFAR10", "CIFAR100", "CelebA"])
def test_without_network_one_line_says_what_to_put_where(tmp_path, monkeypatch, name):
    for module in ("mnist", "cifar"):
        monkeypatch.setattr(f"torchvision.datasets.{module}.download_and_extract_archive", no_network)
    monkeypatch.setattr("torchvision.datasets.celeba.download_file_from_google_drive", no_network)
    data = getattr(catalogue, name)(batch_size=2, root=str(tmp_path))
    for attempt in (data.prepare_data, lambda: data.split_size("train")):
        with pytest.raises(UserError) as caught:
            attempt()
        line = str(caught.value)
        assert line.startswith(f"data.root: no usable {data.name} in {tmp_path}")
        assert "\n" not in line
        assert data.expected_files[0] in line


@pytest.mark.skipif(not (REAL_DATA / "MNIST" / "raw").is_dir(), reason=f"the real MNIST is not in {REAL_DATA}")
def test_the_real_mnist():
    data = catalogue.MNIST(batch_size=100, root=str(REAL_DATA))
    assert [data.split_size(split) for split in SPLITS] == [50_000, 10_000, 10_000]
    train, validation = data.arrays("train"), data.arrays("validation")
    # The published mean of the 60,000 training images is 0.1307.
    assert abs((train[0].mean() * 5 + validation[0].mean()) / 6 / 255 - 0.1307) < 5e-5
    assert train[1][:5].tolist() == [5, 0, 4, 1, 9]
    assert data.arrays("test")[1][:5].tolist() == [7, 2, 1, 0, 4]
