"""A user's own folder: splits, classes, decoding, and a cache that is used exactly as long as it is right."""

import json
import os
import shutil
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from PIL import Image

from lightning_gen.data import ImageFolder
from lightning_gen.data.base import SPLITS, ImageDataModule
from lightning_gen.data.decoding import Decoding, decoded
from lightning_gen.data.image_folder import hold_out
from lightning_gen.errors import UserError
from lightning_gen.registry import build

pytestmark = pytest.mark.usefixtures("cache")


def make(folder, **arguments):
    return ImageFolder(root=str(folder), **{"image_size": 8, "batch_size": 4, **arguments})


def truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def test_splits_are_disjoint_cover_the_folder_and_depend_on_paths_alone(folder):
    files = make(folder).split_files
    together = [file for split in SPLITS for file in files[split]]
    assert sorted(together) == sorted(f"{path.parent.name}/{path.name}" for path in folder.rglob("*.png"))
    assert [len(files[split]) for split in SPLITS] == [32, 4, 4]
    moved = folder.parent / "elsewhere"
    shutil.copytree(folder, moved)
    assert make(moved).split_files == files


def test_the_split_by_path_never_changes():
    parts = hold_out(list("abcdefghij"), ["validation", "test"])
    assert (parts["validation"], parts["test"]) == (["d"], ["f"])


def test_three_images_make_three_splits():
    assert sorted(len(part) for part in hold_out(["a", "b", "c"], ["validation", "test"]).values()) == [1, 1, 1]


@pytest.mark.parametrize("validation", ["validation", "val", "valid"])
def test_split_folders_are_the_splits(tmp_path, write_image, validation):
    for split, count in {"train": 6, validation: 3, "test": 2}.items():
        for number in range(count):
            write_image(tmp_path / "set" / split / ("a" if number % 2 else "b") / f"{number}.png", number)
    data = make(tmp_path / "set")
    assert [data.split_size(split) for split in SPLITS] == [6, 3, 2]
    assert data.num_classes == 2
    assert data.batch("train", range(6))[1].tolist() == [0, 0, 0, 1, 1, 1]


def test_a_missing_validation_folder_is_cut_from_train(tmp_path, write_image):
    for split, count in {"train": 20, "test": 3}.items():
        for number in range(count):
            write_image(tmp_path / "set" / split / f"{number}.png", number)
    data = make(tmp_path / "set")
    assert [data.split_size(split) for split in SPLITS] == [18, 2, 3]
    assert data.num_classes == 0
    assert not set(data.split_files["train"]) & set(data.split_files["validation"])


def test_classes_are_the_subfolders_in_order(folder):
    data = make(folder)
    assert data.classes == ["cat", "dog"]
    for split in SPLITS:
        labels = data.batch(split, range(data.split_size(split)))[1].tolist()
        assert labels == [int(file.startswith("dog/")) for file in data.split_files[split]]


def test_a_single_subfolder_is_no_class(tmp_path, write_image):
    for number in range(3):
        write_image(tmp_path / "set" / "images" / f"{number}.png", number)
    assert make(tmp_path / "set").num_classes == 0


def test_an_image_beside_the_subfolders_means_no_classes(folder, write_image):
    write_image(folder / "loose.png")
    data = make(folder)
    assert data.num_classes == 0
    assert data.batch("train", range(4))[1].tolist() == [0, 0, 0, 0]


def test_a_class_that_only_the_test_folder_has_is_named(tmp_path, write_image):
    for name in ("train/cat/1.png", "train/cat/2.png", "train/dog/3.png", "test/dgo/1.png"):
        write_image(tmp_path / "set" / name)
    with pytest.raises(UserError, match=r"data\.root: the test split has class 'dgo', which the train split lacks; did you mean 'dog'\?"):
        make(tmp_path / "set").split_size("test")


def test_the_largest_central_square_is_resized_with_lanczos(tmp_path, write_image):
    write_image(tmp_path / "wide.png", 1, size=(30, 20))
    with Image.open(tmp_path / "wide.png") as image:
        expected = image.crop((5, 0, 25, 20)).resize((8, 8), Image.Resampling.LANCZOS)
    pixels = Decoding(8).decode((tmp_path / "wide.png").read_bytes())
    assert np.array_equal(pixels.transpose(1, 2, 0), np.asarray(expected))
    grey = Decoding(8, channels=1).decode((tmp_path / "wide.png").read_bytes())
    assert grey.shape == (1, 8, 8)


def test_an_image_of_the_right_size_keeps_every_byte(tmp_path, write_image):
    write_image(tmp_path / "exact.png", 1, size=(8, 8))
    pixels = Decoding(8).decode((tmp_path / "exact.png").read_bytes())
    assert np.array_equal(pixels.transpose(1, 2, 0), np.asarray(Image.open(tmp_path / "exact.png")))


def test_an_image_smaller_than_the_crop_is_refused(tmp_path, write_image):
    write_image(tmp_path / "small.png", size=(30, 20))
    with pytest.raises(ValueError, match="30x20 pixels are too few for the central 25x25"):
        Decoding(8, crop=25).decode((tmp_path / "small.png").read_bytes())


def test_exif_orientation_is_followed(tmp_path):
    pixels = np.zeros((8, 8, 3), np.uint8)
    pixels[:4] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # turn clockwise by 90 degrees to see it upright
    Image.fromarray(pixels).save(tmp_path / "turned.jpg", exif=exif, quality=100)
    upright = Decoding(8).decode((tmp_path / "turned.jpg").read_bytes())
    assert upright[:, :, 4:].min() > 200
    assert upright[:, :, :4].max() < 50


def test_the_cache_is_used_again(folder, cache, monkeypatch):
    first = make(folder)
    first.prepare_data()
    monkeypatch.setattr("lightning_gen.data.decoding._read", lambda *_: pytest.fail("decoded again"))
    again = make(folder)
    assert torch.equal(again.batch("train", range(32))[0], first.batch("train", range(32))[0])
    assert isinstance(again.arrays("train")[0], np.memmap)
    assert len(list(cache.glob("*.npy"))) == 3


def test_a_changed_image_or_preprocessing_is_decoded_anew(folder, write_image):
    before = make(folder).batch("train", range(32))[0]
    assert make(folder, image_size=4).batch("train", range(32))[0].shape == (32, 3, 4, 4)
    assert make(folder, channels=1).batch("train", range(32))[0].shape == (32, 1, 8, 8)
    changed = make(folder).split_files["train"][5]
    stamp = (folder / changed).stat()
    write_image(folder / changed, 999)
    os.utime(folder / changed, ns=(stamp.st_atime_ns, stamp.st_mtime_ns + 1))
    after = make(folder).batch("train", range(32))[0]
    assert (before != after).flatten(1).any(1).nonzero().ravel().tolist() == [5]


def test_an_added_image_is_found(folder, write_image):
    make(folder).prepare_data()
    write_image(folder / "cat" / "new.png", 77)
    data = make(folder)
    assert sum(data.split_size(split) for split in SPLITS) == 41


def test_an_array_without_its_notes_does_not_count(folder, cache):
    make(folder).prepare_data()
    for notes in cache.glob("*.json"):
        notes.unlink()
    for pixels in cache.glob("*.npy"):
        pixels.write_bytes(b"half a file")
    assert make(folder).batch("train", range(32))[0].shape == (32, 3, 8, 8)


def test_concurrent_first_use_gives_everyone_the_same_and_leaves_nothing_behind(folder, cache):
    files = make(folder).split_files["train"]
    with ThreadPoolExecutor(6) as pool:
        results = list(pool.map(lambda _: decoded(folder, files, Decoding(8), cache, stop=True), range(6)))
    assert all(np.array_equal(result.images, results[0].images) for result in results)
    assert sorted(path.suffix for path in cache.iterdir()) == [".json", ".npy"]


def test_the_fingerprint_follows_content_and_not_machines(folder, write_image):
    data = make(folder)
    copy = folder.parent / "copy" / folder.name
    shutil.copytree(folder, copy)
    for path in copy.rglob("*.png"):
        os.utime(path, (1, 1))
    assert make(copy).protocol("test") == data.protocol("test")
    write_image(copy / make(copy).split_files["test"][0], 999)
    assert make(copy).protocol("test") != data.protocol("test")


def test_the_specification_has_no_path_and_is_rebuilt_with_one(folder):
    data = make(folder, binarization="static", on_error="skip")
    assert str(folder) not in json.dumps(data.specification())
    again = build(data.specification(), ImageDataModule, "data", root=str(folder))
    assert again.protocol("validation") == data.protocol("validation")


def break_text(path):
    path.write_text("not an image")


def break_empty(path):
    path.write_bytes(b"")


def break_depth(path):
    Image.fromarray(np.full((8, 8), 40_000, np.uint16)).save(path)


@pytest.mark.parametrize("harm", [truncate, break_text, break_empty, break_depth])
def test_an_unreadable_image_is_named_or_skipped_and_counted(folder, cache, capsys, harm):
    broken = make(folder).split_files["train"][3]
    harm(folder / broken)
    with pytest.raises(
        UserError, match=rf"data\.root: .*{broken} cannot be read \(.+\); repair or remove it, or set data\.on_error: skip"
    ) as caught:
        make(folder).split_size("train")
    assert "\n" not in str(caught.value)
    assert list(cache.iterdir()) == []

    data = make(folder, on_error="skip")
    labels = data.batch("train", range(31))[1].tolist()
    kept = [file for file in data.split_files["train"] if file != broken]
    assert labels == [int(file.startswith("dog/")) for file in kept]
    printed = capsys.readouterr().err.splitlines()
    assert len(printed) == 1
    assert "skipped 1 unreadable images" in printed[0]
    assert broken in printed[0]
    intact = decoded(folder, kept, Decoding(8), cache, stop=True)
    assert np.array_equal(data.arrays("train")[0], intact.images)


def test_what_was_skipped_once_still_stops_a_run_that_does_not_skip(folder):
    broken = make(folder).split_files["train"][0]
    truncate(folder / broken)
    make(folder, on_error="skip").split_size("train")
    with pytest.raises(UserError, match=broken):
        make(folder).split_size("train")


def test_a_folder_without_readable_images_is_an_error(tmp_path):
    (tmp_path / "set").mkdir()
    with pytest.raises(UserError, match=r"data\.root: no images for the train split in .*set \(looked for \.bmp"):
        make(tmp_path / "set").prepare_data()
    for number in range(3):
        (tmp_path / "set" / f"{number}.png").write_text("not an image")
    with pytest.raises(UserError, match=r"cannot be read \(.+\); repair or remove it$"):
        make(tmp_path / "set", on_error="skip").prepare_data()


def test_a_full_disk_is_noticed_before_writing(folder, monkeypatch):
    usage = shutil.disk_usage(folder)._replace(free=10)
    monkeypatch.setattr("lightning_gen.data.decoding.shutil.disk_usage", lambda _: usage)
    with pytest.raises(UserError, match=r"decoded images need .* GB in .*, where 0\.0 GB are free"):
        make(folder).prepare_data()


def test_a_cache_that_cannot_be_written_is_named(folder, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("LIGHTNING_GEN_DATA", str(tmp_path / "file"))
    with pytest.raises(UserError, match=r"decoded images cannot be written to .*file/decoded \(.+\)"):
        make(folder).prepare_data()
