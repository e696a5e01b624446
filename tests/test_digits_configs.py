"""Every autoencoder's configuration on the digits beats its own untrained network by far, on every score that it gets by default."""

import json

import pytest

from lightning_gen.cli import main
from lightning_gen.configs import config_names

DIGITS = sorted(name for name, path in config_names().items() if path.parent.name == "autoencoders" and name.endswith("_digits"))
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


def scores(run, kind):
    (file,) = (run / "results").glob(f"*-{kind}-*.result.json")
    return {score["name"]: score["value"] for score in json.loads(file.read_text())["scores"]}


def test_there_is_one_for_every_model_of_the_family():
    assert len(DIGITS) >= 17


@pytest.mark.slow
@pytest.mark.parametrize("name", DIGITS)
def test_training_beats_the_untrained_network(name, tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["fit", "--config", name, *QUIET, "--checkpoints.untrained", "true", "--runs", str(tmp_path), "--wandb", "off"])
    assert stop.value.code == 0, capsys.readouterr().err
    (run,) = (tmp_path / name).iterdir()
    before, after = scores(run, "untrained"), scores(run, "last")
    assert after.keys() == before.keys()
    assert {*RATIOS, *MARGINS, *HIGHER} >= after.keys()
    for score, value in after.items():
        if score in RATIOS:
            assert value < before[score] / RATIOS[score], score
        elif score in MARGINS:
            assert value < before[score] - MARGINS[score], score
        else:
            assert value > before[score] * HIGHER[score], score
