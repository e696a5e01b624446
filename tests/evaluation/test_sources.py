"""Anybody's images become a stream by global index: whatever block or process asks, index i is the same image."""

import os
import warnings
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from lightning_gen.errors import UserError
from lightning_gen.evaluation import content
from lightning_gen.evaluation.sources import image_stream, is_model
from lightning_gen.noise import IndexedNoise, blocks, stable_hash

CPU = torch.device("cpu")


def pixels(count=70, height=6, width=8, channels=3, seed=0):
    """uint8 (N, H, W, C)."""
    return np.random.default_rng(seed).integers(0, 256, (count, height, width, channels), np.uint8)


def everything(stream):
    """All images of a stream, (N, C, H, W)."""
    return torch.cat([stream.draw(block, CPU) for block in blocks(stream.count)]).numpy()


def save(array, file, **options):
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array[..., 0] if array.shape[-1] == 1 else array).save(file, **options)


@pytest.fixture
def folder(tmp_path):
    """A folder of 70 pictures, of which the path's order is the index."""
    for index, image in enumerate(pixels()):
        save(image, tmp_path / "pictures" / f"{index:03d}.png")
    return tmp_path / "pictures"


def refused(words, source, **options):
    with pytest.raises(UserError) as caught:
        everything(image_stream(source, **options))
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)


# Folders.


def test_a_folder_is_its_pictures_in_the_order_of_their_paths(folder):
    stream = image_stream(folder)
    assert (stream.count, stream.shape, stream.labels) == (70, (3, 6, 8), None)
    np.testing.assert_array_equal(everything(stream), pixels().transpose(0, 3, 1, 2))
    np.testing.assert_array_equal(stream.draw(range(66, 69), CPU).numpy(), pixels()[66:69].transpose(0, 3, 1, 2))


@pytest.mark.parametrize(
    ("mode", "channels"),
    [("L", 1), ("1", 1), ("RGB", 3), ("RGBA", 3), ("P", 3), ("LA", 3), ("CMYK", 3)],
)
def test_every_kind_of_picture_becomes_grey_or_rgb(tmp_path, mode, channels):
    picture = Image.fromarray(pixels(1)[0]).convert("L").convert("RGBA").convert("RGB").convert(mode if mode != "LA" else "L")
    picture = picture.convert(mode)
    picture.save(tmp_path / ("a.tif" if mode == "CMYK" else "a.png"))
    stream = image_stream(tmp_path)
    assert stream.shape == (channels, 6, 8)
    expected = np.asarray(picture.convert("L" if channels == 1 else "RGB")).reshape(6, 8, channels).transpose(2, 0, 1)
    np.testing.assert_array_equal(everything(stream)[0], expected)


def test_grey_among_colour_is_colour(tmp_path):
    save(pixels(1)[0], tmp_path / "a.png")
    save(pixels(1, channels=1)[0], tmp_path / "b.png")
    images = everything(image_stream(tmp_path))
    assert images.shape == (2, 3, 6, 8)
    np.testing.assert_array_equal(images[1], np.repeat(pixels(1, channels=1)[0].transpose(2, 0, 1), 3, 0))


def test_pictures_are_turned_upright_before_their_sizes_are_compared(tmp_path):
    save(pixels(1)[0], tmp_path / "a.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    save(pixels(1, height=8, width=6)[0], tmp_path / "b.png", exif=exif)
    stream = image_stream(tmp_path)
    assert stream.shape == (3, 6, 8)
    np.testing.assert_array_equal(everything(stream)[1], np.rot90(pixels(1, height=8, width=6)[0], -1).transpose(2, 0, 1))


def test_two_sizes_are_refused_and_an_image_size_makes_them_one(folder):
    save(pixels(1, height=7)[0], folder / "050.png")
    refused(["000.png has 8x6", "050.png has 8x7", "--image_size N, such as 6"], folder)
    stream = image_stream(folder, image_size=4)
    assert stream.shape == (3, 4, 4)
    assert stream.key["preprocessing"] == {"image_size": 4, "channels": 3}
    central = Image.fromarray(pixels()[3]).crop((1, 0, 7, 6)).resize((4, 4), Image.Resampling.LANCZOS)
    np.testing.assert_array_equal(everything(stream)[3], np.asarray(central).transpose(2, 0, 1))


def test_subfolders_are_classes_unless_they_are_splits(tmp_path):
    for index, name in enumerate(("b/0.png", "b/1.png", "a/x/2.png")):
        save(pixels()[index], tmp_path / name)
    assert image_stream(tmp_path).labels.tolist() == [0, 1, 1]
    (tmp_path / "a").rename(tmp_path / "train")
    (tmp_path / "b").rename(tmp_path / "test")
    assert image_stream(tmp_path).labels is None
    save(pixels()[0], tmp_path / "loose.png")
    assert image_stream(tmp_path).labels is None


def test_the_key_of_a_folder_is_that_of_its_files(folder, tmp_path):
    key = image_stream(folder).key
    assert image_stream(folder).key == key
    folder.rename(tmp_path / "moved")
    assert image_stream(tmp_path / "moved").key == key
    assert image_stream(tmp_path / "moved", image_size=4).key != key
    assert image_stream(tmp_path / "moved", num_samples=69).key != key
    (tmp_path / "moved" / "003.png").rename(tmp_path / "moved" / "0031.png")
    assert image_stream(tmp_path / "moved").key != key


def same_size_and_time(file, content):
    """As archives unpack it, that are made to be reproducible: the file system's name, size and time do not tell."""
    status = file.stat()
    assert status.st_size == len(content)
    file.write_bytes(content)
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))


def test_the_key_of_files_is_their_content_not_their_times(folder, tmp_path):
    for index, image in enumerate(pixels()):
        Image.fromarray(image).save(folder / f"{index:03d}.bmp")
        (folder / f"{index:03d}.png").unlink()
    np.save(tmp_path / "mine.npy", pixels())
    np.savez(tmp_path / "mine.npz", pixels())
    for source, file in ((folder, folder / "003.bmp"), *[(tmp_path / name,) * 2 for name in ("mine.npy", "mine.npz")]):
        key = image_stream(source).key
        os.utime(file, (1, 1))
        assert image_stream(source).key == key
        content = file.read_bytes()
        same_size_and_time(file, content[:-1] + bytes([content[-1] ^ 1]))
        assert image_stream(source).key != key, source
        same_size_and_time(file, content)
        assert image_stream(source).key == key
    (tmp_path / "mine.npy").rename(tmp_path / "other.npy")
    renamed = image_stream(tmp_path / "other.npy").key
    np.save(tmp_path / "mine.npy", pixels())
    assert image_stream(tmp_path / "mine.npy").key == renamed


def test_files_are_hashed_once_as_long_as_nothing_touches_them(folder, tmp_path, monkeypatch):
    np.save(tmp_path / "mine.npy", pixels())
    read = []
    original = content._read
    monkeypatch.setattr(content, "_read", lambda *files: read.append(files) or original(*files))
    monkeypatch.setattr(content, "SETTLED_NS", 0)
    for source in (folder, tmp_path / "mine.npy"):
        key = image_stream(source).key
        assert image_stream(source).key == key
    assert len(read) == 2
    same_size_and_time(folder / "003.png", (folder / "003.png").read_bytes())
    assert image_stream(folder).key == image_stream(folder).key
    assert len(read) == 3
    monkeypatch.setattr(content, "SETTLED_NS", 10**12)
    same_size_and_time(folder / "003.png", (folder / "003.png").read_bytes())
    image_stream(folder)
    image_stream(folder)
    assert len(read) == 5, "a file of this moment may change without another time"


def test_fewer_pictures_are_evenly_spread(folder):
    np.testing.assert_array_equal(everything(image_stream(folder, num_samples=7)), pixels()[::10].transpose(0, 3, 1, 2))
    refused(["num_samples: expected 1 to 70", "got 71"], folder, num_samples=71)


def test_classes_have_names(tmp_path):
    for index, name in enumerate(("b/0.png", "b/1.png", "a/x/2.png")):
        save(pixels()[index], tmp_path / "pictures" / name)
    assert image_stream(tmp_path / "pictures").class_names == ("a", "b")
    assert image_stream(tmp_path / "pictures" / "b").class_names is None
    for labels, names in ((np.arange(70) % 3, ("0", "1", "2")), (np.full(70, -1), None), (np.full(70, 10**9), None)):
        np.savez(tmp_path / "samples.npz", pixels(), labels)
        assert image_stream(tmp_path / "samples.npz", num_samples=2).class_names == names
    assert image_stream(pixels()).class_names is None


def test_the_names_of_files_may_be_in_capitals(tmp_path):
    np.savez(tmp_path / "mine.npz", pixels())
    np.save(tmp_path / "mine.npy", pixels())
    for name in ("npz", "npy"):
        (tmp_path / f"mine.{name}").rename(tmp_path / f"MINE.{name.upper()}")
        np.testing.assert_array_equal(everything(image_stream(tmp_path / f"MINE.{name.upper()}")), pixels().transpose(0, 3, 1, 2))


def test_labels_stay_with_their_images_when_there_are_fewer(tmp_path):
    np.savez(tmp_path / "samples.npz", pixels(), np.arange(70))
    assert image_stream(tmp_path / "samples.npz", num_samples=7).labels.tolist() == [0, 10, 20, 30, 40, 50, 60]


def test_lossy_files_are_counted(tmp_path):
    save(pixels(1)[0], tmp_path / "a.png")
    save(pixels(1)[0], tmp_path / "b.png", format="JPEG")
    assert image_stream(tmp_path).key["formats"] == {"JPEG": 1, "PNG": 1}, "by content, not by name"


def test_a_broken_picture_is_named(folder):
    content = (folder / "065.png").read_bytes()
    (folder / "065.png").write_bytes(content[: len(content) // 2])
    refused(["065.png: cannot be read", "repair or remove it"], folder)
    (folder / "065.png").write_text("text")
    refused(["065.png: cannot be read (not an image)"], folder)
    Image.fromarray(np.zeros((6, 8), np.uint16)).save(folder / "065.png")
    refused(["065.png: cannot be read", "more than 8 bits"], folder)


# Array files.


@pytest.mark.parametrize("write", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("order", ["C", "F"])
def test_the_layout_of_guided_diffusion_is_read(tmp_path, write, order):
    labels = np.arange(70) % 7
    write(tmp_path / "samples.npz", np.asarray(pixels(), order=order), labels)
    stream = image_stream(tmp_path / "samples.npz")
    assert (stream.count, stream.shape) == (70, (3, 6, 8))
    np.testing.assert_array_equal(everything(stream), pixels().transpose(0, 3, 1, 2))
    np.testing.assert_array_equal(stream.labels, labels)
    assert stream.labels.dtype == np.int64


def test_an_uncompressed_array_is_mapped_and_never_read_as_a_whole(tmp_path, monkeypatch):
    np.savez(tmp_path / "samples.npz", pixels(1000))
    read = []
    original = zipfile.ZipExtFile.read

    def counting(self, size=-1):
        read.append(original(self, size))
        return read[-1]

    monkeypatch.setattr(zipfile.ZipExtFile, "read", counting)
    stream = image_stream(tmp_path / "samples.npz")
    np.testing.assert_array_equal(stream.draw(range(960, 1000), CPU).numpy(), pixels(1000)[960:].transpose(0, 3, 1, 2))
    assert sum(map(len, read)) < 1000, "nothing but the array's header"


@pytest.mark.parametrize(
    ("array", "shape"),
    [
        (pixels().transpose(0, 3, 1, 2), (3, 6, 8)),
        (pixels(channels=1), (1, 6, 8)),
        (pixels(channels=1).transpose(0, 3, 1, 2), (1, 6, 8)),
        (pixels(channels=1)[..., 0], (1, 6, 8)),
    ],
)
def test_other_layouts_mean_the_same_images(tmp_path, array, shape):
    np.savez(tmp_path / "mine.npz", images=array)
    np.save(tmp_path / "mine.npy", array)
    channels = shape[0]
    expected = pixels(channels=channels).transpose(0, 3, 1, 2)
    for source in (tmp_path / "mine.npz", tmp_path / "mine.npy", array, torch.from_numpy(array)):
        stream = image_stream(source)
        assert stream.shape == shape
        np.testing.assert_array_equal(everything(stream), expected)


def test_what_is_drawn_can_be_written_to(tmp_path):
    np.savez(tmp_path / "samples.npz", pixels())
    stream = image_stream(tmp_path / "samples.npz")
    stream.draw(range(64), CPU).zero_()
    np.testing.assert_array_equal(everything(stream), pixels().transpose(0, 3, 1, 2))


def test_the_key_of_an_array_is_its_content():
    keys = [image_stream(array).key for array in (pixels(), pixels(), pixels(seed=1))]
    assert keys[0] == keys[1] != keys[2]
    assert image_stream(pixels(), num_samples=10).key != keys[0]
    grey = pixels(4, 4, 4, 1)[..., 0]
    assert image_stream(grey).key != image_stream(grey.reshape(2, 8, 4, 1)).key, "the same bytes in another shape"
    turned = np.asarray(pixels(), order="F")
    assert image_stream(turned).key == image_stream(torch.from_numpy(turned)).key == keys[0], "however it lies in memory"


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (pixels() / np.float32(255), ["uint8", "float32 from 0", "to 1", "(array * 255).round()"]),
        (pixels() / 127.5 - 1, ["float64 from -1", "(array + 1) * 127.5"]),
        (pixels().astype(np.float32), ["to 255", "array.round().astype(np.uint8)"]),
        (pixels().astype(np.int64), ["int64", "array.astype(np.uint8)"]),
        (pixels() * 3.7, ["a conversion of your own"]),
        (pixels() > 99, ["bool", "(array * 255)"]),
        (pixels(channels=4), ["(70, 6, 8, 4)", "array[..., :3]"]),
        (pixels(channels=5), ["1 or 3 channels", "(70, 6, 8, 5)"]),
        (pixels()[0, 0], ["(8, 3)"]),
        (pixels()[0], ["(6, 8, 3), which looks like one picture", "array[..., None]"]),
        (pixels(channels=4)[0], ["(6, 8, 4), which looks like one picture"]),
        (pixels()[:0], ["(0, 6, 8, 3)"]),
    ],
)
def test_an_array_that_is_no_images_is_refused(tmp_path, array, words):
    np.savez(tmp_path / "mine.npz", array)
    refused(["mine.npz", *words], tmp_path / "mine.npz")
    refused(words, array)


def test_a_file_that_is_no_array_of_images_is_refused(tmp_path):
    file = tmp_path / "mine.npz"
    np.savez(file, mu=np.zeros(3), sigma=np.eye(3))
    refused(["mine.npz", "statistics", "--reference"], file)
    np.savez(file, x=pixels(), z=np.zeros(3))
    refused(["mine.npz", "'arr_0'", "'x', 'z'"], file)
    np.savez(file, pixels(), np.zeros(3))
    refused(["mine.npz", "labels as integers (70,)", "float64 (3,)"], file)
    np.savez(file, np.array([{1: 2}], object))
    refused(["mine.npz", "pickled objects"], file)
    file.write_text("text")
    refused(["mine.npz", "cannot be read"], file)
    (tmp_path / "mine.npy").write_text("text")
    refused(["mine.npy", "cannot be read"], tmp_path / "mine.npy")


@pytest.mark.parametrize("write", [np.savez, np.savez_compressed])
def test_a_damaged_array_file_is_refused(tmp_path, write):
    write(tmp_path / "mine.npz", pixels())
    content = (tmp_path / "mine.npz").read_bytes()
    (tmp_path / "mine.npz").write_bytes(content[: len(content) // 2])
    refused(["mine.npz", "cannot be read"], tmp_path / "mine.npz")
    if write is np.savez_compressed:
        (tmp_path / "mine.npz").write_bytes(content[:500] + bytes(40) + content[540:])
        refused(["mine.npz", "cannot be read"], tmp_path / "mine.npz")


# Generators.


def painter(count, seed):
    return torch.randint(0, 256, (count, 3, 6, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def test_a_function_is_asked_block_by_block_with_seeds_of_their_own():
    calls = []

    def watched(count, seed):
        calls.append((count, seed))
        return painter(count, seed).numpy()

    stream = image_stream(watched, num_samples=130, seed=5)
    assert (stream.name, stream.shape, stream.key) == ("watched", (3, 6, 8), None)
    images = everything(stream)
    seeds = [stable_hash(5, "callable", block) >> 1 for block in range(3)]
    assert calls == [(64, seeds[0]), (64, seeds[1]), (2, seeds[2])], "each block once, the one that showed the shape included"
    np.testing.assert_array_equal(images[64:128], painter(64, seeds[1]).numpy())
    assert not np.array_equal(everything(image_stream(painter, num_samples=130, seed=6)), images)


def test_a_block_of_a_function_does_not_depend_on_who_asked_for_which_before():
    whole = everything(image_stream(painter, num_samples=130))
    again = image_stream(painter, num_samples=130)
    for block in reversed([*blocks(130)]):
        np.testing.assert_array_equal(again.draw(block, CPU).numpy(), whole[block.start : block.stop])
    np.testing.assert_array_equal(again.draw(range(64), CPU).numpy(), whole[:64], "a second time")


def test_a_function_may_use_the_global_random_numbers():
    def careless(count, seed):
        torch.manual_seed(seed)
        return torch.randint(0, 256, (count, 1, 4, 4), dtype=torch.uint8)

    before = torch.random.get_rng_state()
    image_stream(careless, num_samples=3)
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda n: torch.zeros(n, 3, 4, 4), ["uint8 (10, C, H, W)", "float32 (10, 3, 4, 4) from 0 to 0", "0 ... 255"]),
        (lambda n: torch.zeros(n + 1, 3, 4, 4, dtype=torch.uint8), ["got uint8 (11, 3, 4, 4)"]),
        (lambda n: torch.zeros(n, 4, 4, 3, dtype=torch.uint8), ["permute(0, 3, 1, 2)"]),
        (lambda n: torch.zeros(n, 4, 4, dtype=torch.uint8), ["got uint8 (10, 4, 4)"]),
        (lambda n: [0] * n, ["got list"]),
        (lambda n: None, ["got NoneType"]),
    ],
)
def test_an_answer_that_is_no_images_is_refused(answer, words):
    refused(["<lambda>", *words], lambda n, seed: answer(n), num_samples=10)


def test_the_block_on_which_a_function_fails_is_named():
    def failing(count, seed):
        if count < 64:
            raise ValueError("no luck\nat all")
        return painter(count, seed)

    seed = stable_hash(5, "callable", 1) >> 1
    words = [f"failing: fails on images 64 to 69 (n = 6, seed = {seed}): ValueError: no luck"]
    refused(words, failing, num_samples=70, seed=5)
    refused(["fails on images 0 to 2", "TypeError"], lambda n, seed: np.array([object()] * n), num_samples=3)


def test_a_tensor_of_a_type_unknown_to_numpy_is_refused_as_fractions_are():
    refused(["the array: expected uint8", "float32 from 0 to 0"], torch.zeros(4, 3, 4, 4, dtype=torch.bfloat16))


def test_a_function_whose_images_change_their_shape_is_refused():
    def growing(count, seed):
        return torch.zeros(count, 1, 4, 4 if count == 64 else 5, dtype=torch.uint8)

    refused(["growing", "(1, 4, 4) as in its first block", "(1, 4, 5) at index 64"], growing, num_samples=70)


class Generator(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(5, 48)
        self.norm = torch.nn.BatchNorm1d(48)

    def forward(self, z):
        return (self.norm(self.layer(z)).sigmoid() * 255).round().to(torch.uint8).view(-1, 3, 4, 4)


@pytest.fixture
def script(tmp_path):
    torch.manual_seed(0)
    network = Generator()
    with warnings.catch_warnings(action="ignore"):
        torch.jit.script(network).save(tmp_path / "generator.pt")
    return tmp_path / "generator.pt", network.eval()


@pytest.mark.filterwarnings("error")
def test_a_torchscript_generator_gets_noise_by_index_and_is_in_evaluation_mode(script):
    path, network = script
    stream = image_stream(path, num_samples=70, seed=3, latent_dim=5)
    assert (stream.count, stream.shape, stream.name) == (70, (3, 4, 4), "generator.pt")
    images = everything(stream)
    with torch.no_grad():
        np.testing.assert_array_equal(images[:64], network(IndexedNoise(3, range(64)).normal("z", (5,))))
        np.testing.assert_array_equal(images[64:], network(IndexedNoise(3, range(64, 70)).normal("z", (5,))))
    keys = [image_stream(path, num_samples=2, seed=seed, latent_dim=5).key for seed in (3, 4)]
    assert stream.key == keys[0] != keys[1]


@pytest.mark.filterwarnings("error")
def test_a_file_that_is_no_generator_is_refused(script, tmp_path):
    path, network = script
    refused(["latent_dim: generator.pt needs"], path, num_samples=4)
    refused(["generator.pt: fails on z of shape (4, 6)", "latent_dim 6"], path, num_samples=4, latent_dim=6)
    torch.save(network.state_dict(), tmp_path / "weights.pt")
    refused(["weights.pt: not a TorchScript file", "weights alone"], tmp_path / "weights.pt", num_samples=4, latent_dim=5)
    (tmp_path / "text.ts").write_text("text")
    refused(["text.ts: not a TorchScript file"], tmp_path / "text.ts", num_samples=4, latent_dim=5)


# Which kind it is.


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"latent_dim": 3}, ["latent_dim: applies to a TorchScript file only", "got 3"]),
        ({"seed": 3}, ["seed: applies to a generator only", "got 3"]),
        ({"image_size": 0}, ["image_size", "at least 1", "got 0"]),
        ({"image_size": 2.5}, ["image_size", "whole number", "2.5"]),
        ({"num_samples": 0}, ["num_samples", "at least 1", "got 0"]),
        ({"num_samples": True}, ["num_samples", "True"]),
    ],
)
def test_an_option_that_does_not_apply_is_refused(folder, options, words):
    refused(words, folder, **options)


def test_a_source_of_another_kind_is_refused(folder, tmp_path):
    refused(["image_size: applies to a folder"], pixels(), image_size=4)
    refused(["num_samples: a generator", "such as 50000"], painter)
    refused(["num_samples: a generator", "such as 50000"], tmp_path / "gen.pt")
    refused(["pictuers: no such file or folder; did you mean 'pictures'?"], tmp_path / "pictuers")
    refused(["gen.pt: no such file or folder"], tmp_path / "gen.pt", num_samples=3)
    refused(["nowhere/at/all: no such file", ".npz"], "nowhere/at/all")
    refused(["000.png: expected a folder of images", "'.png'"], folder / "000.png")
    refused(["source: expected", "got int"], 3)
    (tmp_path / "empty").mkdir()
    refused(["empty: no images", ".png"], tmp_path / "empty")


def test_our_own_models_are_told_apart(folder, tmp_path):
    assert not is_model(folder)
    (folder / "checkpoints").mkdir()
    (folder / "checkpoints" / "last.ckpt").write_text("")
    assert is_model(folder)
    assert is_model("anything.ckpt")
    refused(["pictures: a model of ours"], folder)
