"""Every model's configuration on the digits beats its own untrained network by far, on every score that it gets by default; every flow and
every autoregressive model also a model of independent pixels. The GANs of photographs beat theirs by the distances."""

import json

import pytest
import torch

from lightning_gen.cli import main
from lightning_gen.configs import config_names
from lightning_gen.data.digits import Digits
from lightning_gen.images import to_levels


def configs_of(family, data):
    return sorted(name for name, path in config_names().items() if path.parent.name == family and name.endswith(f"_{data}"))


FLOWS = configs_of("flows", "digits")
EXACT = configs_of("autoregressive", "digits")
GANS = configs_of("gans", "digits")
PHOTOS = configs_of("gans", "photos")
DIGITS = configs_of("autoencoders", "digits") + FLOWS + EXACT + GANS
QUIET = [
    "--evaluation.every_images",
    "0",
    "--latents.every_images",
    "0",
    "--samples.every_images",
    "0",
    "--reconstructions.every_images",
    "0",
]

RATIOS = {"FD(digits-cnn)": 3.0, "reconstruction MSE": 3.0}
"""How many times lower a score has to be."""
MARGINS = {"bits/dim": 0.8}
"""How much lower."""
HIGHER = {"CS(digits-cnn)": 2.0}
"""How many times higher."""
AT_LEAST = {"diversity(digits-cnn)": 0.5}
"""What is asked whatever the untrained network had: noise is diverse."""
OF_FLOWS = RATIOS | {"FD(digits-cnn)": 2.0}, HIGHER | {"CS(digits-cnn)": 1.2}
"""The same for flows and autoregressive models: an untrained one already samples noise, in which the classifier sees many classes."""
OF_GANS = RATIOS | {"reconstruction MSE": 1.5}, HIGHER
"""The same for GANs: no loss of an encoder's asks for the image itself."""
OF_PHOTOS = {"FD(cifar-cnn)": 1.3, "KD(cifar-cnn)": 1.5}
"""Of photographs a smooth untrained network is not far off; the other scores hardly move within two minutes."""
BELOW_INDEPENDENT_PIXELS = 0.2
"""By how many bits/dim a flow or an autoregressive model is better than independent pixels."""
WORSE_THAN_INDEPENDENT_PIXELS = ("nice_digits",)
"""Couplings that only add give a pixel the same spread whatever the others are, and most pixels are black most of the time."""


def scores(run, kind):
    (file,) = (run / "results").glob(f"*-{kind}-*.result.json")
    return {score["name"]: score["value"] for score in json.loads(file.read_text())["scores"]}


def scores_before_and_after(name, tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["fit", "--config", name, *QUIET, "--checkpoints.untrained", "true", "--runs", str(tmp_path), "--wandb", "off"])
    assert stop.value.code == 0, capsys.readouterr().err
    (run,) = (tmp_path / name).iterdir()
    return scores(run, "untrained"), scores(run, "last")


@pytest.fixture(scope="module")
def independent_pixels():
    """Bits/dim of the test images when each pixel has the histogram of the training images (every level counted once more)."""
    data = Digits(batch_size=64)
    train, test = (to_levels(data.batch(split, range(data.split_size(split)))[0], 4).flatten(1).long() for split in ("train", "test"))
    counts = torch.nn.functional.one_hot(train, 16).sum(0) + 1.0
    log_probs = (counts / counts.sum(1, keepdim=True)).log2()
    return -float(log_probs.gather(1, test.T).mean())


def test_there_is_one_for_every_model_of_the_families():
    assert len(configs_of("autoencoders", "digits")) >= 17
    assert len(FLOWS) >= 9
    assert len(EXACT) >= 10
    assert len(GANS) >= 14
    assert len(PHOTOS) >= 5


def test_independent_pixels_need_more_than_two_bits(independent_pixels):
    assert independent_pixels == pytest.approx(2.3888, abs=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("name", DIGITS)
def test_training_beats_the_untrained_network(name, tmp_path, capsys, independent_pixels):
    before, after = scores_before_and_after(name, tmp_path, capsys)
    assert after.keys() == before.keys()
    assert {*RATIOS, *MARGINS, *HIGHER, *AT_LEAST} >= after.keys()
    ratios, higher = OF_FLOWS if name in FLOWS + EXACT else OF_GANS if name in GANS else (RATIOS, HIGHER)
    for score, value in after.items():
        if score in ratios:
            assert value < before[score] / ratios[score], score
        elif score in MARGINS:
            assert value < before[score] - MARGINS[score], score
        elif score in AT_LEAST:
            assert value > AT_LEAST[score], score
        else:
            assert value > before[score] * higher[score], score
    if name in FLOWS + EXACT and name not in WORSE_THAN_INDEPENDENT_PIXELS:
        assert after["bits/dim"] < independent_pixels - BELOW_INDEPENDENT_PIXELS


@pytest.mark.slow
@pytest.mark.parametrize("name", PHOTOS)
def test_a_gan_of_photographs_beats_the_untrained_network(name, tmp_path, capsys):
    before, after = scores_before_and_after(name, tmp_path, capsys)
    for score, ratio in OF_PHOTOS.items():
        assert after[score] < before[score] / ratio, score
    assert after["diversity(cifar-cnn)"] > AT_LEAST["diversity(digits-cnn)"]
