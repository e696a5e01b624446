"""``lightning-gen sample``: the same images as a sheet, a folder or an array."""

import pathlib

import numpy as np
import pytest
import torch
from PIL import Image

from lightning_gen.checkpoint import save_model
from lightning_gen.models import NICE


@pytest.fixture
def sample(execute, tmp_path):
    """Draw into a file or folder of the test; returns its path."""

    def run(checkpoint, name, *options):
        outcome = execute("sample", checkpoint, "--out", f"{tmp_path}/{name}", *options)
        assert outcome.code == 0, outcome.err
        assert f"{tmp_path}/{name}" in outcome.out
        return tmp_path / name

    return run


def array(path):
    with np.load(path) as content:
        return content["arr_0"]


def test_an_array_file_has_the_layout_of_guided_diffusion(sample, vae_run):
    images = array(sample(vae_run, "samples.npz", "--num_samples", "70"))
    assert (images.shape, images.dtype) == ((70, 8, 8, 1), np.uint8)


def test_one_seed_gives_the_same_images_in_every_form(sample, vae_run):
    images = array(sample(vae_run, "samples.npz", "--num_samples", "6"))[..., 0]
    files = sorted(sample(vae_run, "folder/", "--num_samples", "6").iterdir())
    assert [file.name for file in files] == [f"{index:06d}.png" for index in range(6)]
    assert all(np.array_equal(np.asarray(Image.open(file).convert("L")), image) for file, image in zip(files, images, strict=True))
    sheet = np.asarray(Image.open(sample(vae_run, "sheet.png", "--num_samples", "6")).convert("L"))
    shown = [sheet[33 * row + 1 :, 33 * column + 1 :][:32, :32] for row in range(2) for column in range(3)]  # enlarged four times
    assert all(np.array_equal(picture[::4, ::4], image) for picture, image in zip(shown, images, strict=True))


def test_a_sample_depends_on_its_seed_and_index_alone(sample, vae_run):
    few, many = (array(sample(vae_run, f"{count}.npz", "--num_samples", str(count))) for count in (3, 130))
    assert np.array_equal(few, many[:3])
    assert not np.array_equal(few, array(sample(vae_run, "other.npz", "--num_samples", "3", "--seed", "1")))


def test_labels_are_repeated_up_to_the_number_of_samples(sample, dcgan_run):
    with np.load(sample(dcgan_run, "c.npz", "--num_samples", "5", "--labels", "3,1")) as content:
        assert content["arr_1"].tolist() == [3, 1, 3, 1, 3]
        images = content["arr_0"]
    other = array(sample(dcgan_run, "d.npz", "--num_samples", "5", "--labels", "3,2"))
    assert np.array_equal(images[::2], other[::2])
    assert not np.array_equal(images[1::2], other[1::2])


def test_averaged_and_live_weights_draw_differently(sample, dcgan_run):
    ema, live = (array(sample(dcgan_run, f"{weights}.npz", "--num_samples=4", f"--weights={weights}")) for weights in ("ema", "live"))
    assert not np.array_equal(ema, live)


@pytest.mark.parametrize("labels", ["10", "3,,1", "x", "-1", "", "1.5"])
def test_bad_labels_are_refused_with_the_classes(refused, dcgan_run, tmp_path, labels):
    refused(["sample", dcgan_run, f"--labels={labels}", "--out", tmp_path / "a.npz"], "--labels", "classes from 0 to 9")
    assert not (tmp_path / "a.npz").exists()


def test_labels_of_an_unconditional_model_are_refused(refused, vae_run, tmp_path):
    refused(["sample", vae_run, "--labels", "3", "--out", tmp_path / "a.npz"], "labels", "VAE", "conditional")


@pytest.mark.parametrize("name", ["file/sheet.png", "file/samples.npz", "file/folder/"])
def test_an_output_that_cannot_be_written_is_one_line(refused, vae_run, tmp_path, name):
    (tmp_path / "file").touch()
    refused(["sample", vae_run, "--num_samples=2", "--out", f"{tmp_path}/{name}"], f"--out {tmp_path}/{name}", "cannot be written")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--out", "a.jpg"], ["--out a.jpg", "'.jpg'", "samples.npz"]),
        (["--num_samples", "0"], ["--num_samples", "at least 1", "got 0"]),
        (["--num_samples", "x"], ["--num_samples", "'x'"]),
        (["--weights", "raw"], ["--weights", "'raw'"]),
    ],
)
def test_a_bad_option_is_one_line(refused, vae_run, options, words):
    refused(["sample", vae_run, *options], *words)
    assert not pathlib.Path("a.jpg").exists()


@pytest.fixture
def flow(tmp_path):
    """A checkpoint of a flow at a temperature of its own."""

    def save(temperature):
        torch.manual_seed(0)
        save_model(NICE([1, 8, 8], hidden=[8], temperature=temperature), tmp_path / f"{temperature}.ckpt")
        return tmp_path / f"{temperature}.ckpt"

    return save


def test_a_temperature_draws_what_a_flow_of_that_temperature_draws(sample, flow):
    asked, native, own = (
        array(sample(flow(temperature), f"{number}.npz", "--num_samples", "3", *options))
        for number, (temperature, options) in enumerate([(1.0, ["--temperature", "0.5"]), (0.5, []), (1.0, [])])
    )
    assert np.array_equal(asked, native)
    assert not np.array_equal(asked, own)


def test_a_temperature_that_cannot_be_is_refused(refused, flow, vae_run, tmp_path):
    out = ["--out", tmp_path / "s.png"]
    refused(["sample", flow(1.0), "--temperature", "0", *out], "temperature: expected a positive number, got 0")
    refused(["sample", vae_run, "--temperature", "0.7", *out], "temperature: VAE has none; expected nothing, got 0.7")
    assert not (tmp_path / "s.png").exists()
