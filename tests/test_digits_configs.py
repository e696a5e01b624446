"""Every model's configuration on the digits beats its own untrained network by far, on every score that it gets by default; every flow and
every autoregressive model also a model of independent pixels."""

import json

import pytest
import torch

from lightning_gen.cli import main
from lightning_gen.configs import config_names
from lightning_gen.data.digits import Digits
from lightning_gen.images import to_levels


def digits_of(family):
    return sorted(name for name, path in config_names().items() if path.parent.name == family and name.endswith("_digits"))


FLOWS = digits_of("flows")
EXACT = digits_of("autoregressive")
GANS = digits_of("gans")
DIGITS = digits_of("autoencoders") + FLOWS + EXACT + GANS
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
BELOW_INDEPENDENT_PIXELS = 0.2
"""By how many bits/dim a flow or an autoregressive model is better than independent pixels."""
WORSE_THAN_INDEPENDENT_PIXELS = ("nice_digits",)
"""Couplings that only add give a pixel the same spread whatever the others are, and most pixels are black most of the time."""


def scores(run, kind):
    (file,) = (run / "results").glob(f"*-{kind}-*.result.json")
    return {score["name"]: score["value"] for score in json.loads(file.read_text())["scores"]}


@pytest.fixture(scope="module")
def independent_pixels():
    """Bits/dim of the test images when each pixel has the histogram of the training images (every level counted once more)."""
    data = Digits(batch_size=64)
    train, test = (to_levels(data.batch(split, range(data.split_size(split)))[0], 4).flatten(1).long() for split in ("train", "test"))
    counts = torch.nn.functional.one_hot(train, 16).sum(0) + 1.0
    log_probs = (counts / counts.sum(1, keepdim=True)).log2()
    return -float(log_probs.gather(1, test.T).mean())


def test_there_is_one_for_every_model_of_the_families():
    assert len(digits_of("autoencoders")) >= 17
    assert len(FLOWS) >= 9
    assert len(EXACT) >= 10
    assert len(GANS) >= 14


def test_independent_pixels_need_more_than_two_bits(independent_pixels):
    assert independent_pixels == pytest.approx(2.3888, abs=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("name", DIGITS)
def test_training_beats_the_untrained_network(name, tmp_path, capsys, independent_pixels):
    with pytest.raises(SystemExit) as stop:
        main(["fit", "--config", name, *QUIET, "--checkpoints.untrained", "true", "--runs", str(tmp_path), "--wandb", "off"])
    assert stop.value.code == 0, capsys.readouterr().err
    (run,) = (tmp_path / name).iterdir()
    before, after = scores(run, "untrained"), scores(run, "last")
    assert after.keys() == before.keys()
    assert {*RATIOS, *MARGINS, *HIGHER, *AT_LEAST} >= after.keys()
    ratios, higher = OF_FLOWS if name in FLOWS + EXACT else (RATIOS, HIGHER)
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
