"""``lightning-gen demo``: models of every family, trained, scored beside their untrained networks, and ranked, without any download."""

import json
import pathlib
import re

import pytest
import yaml
from PIL import Image

from lightning_gen.cli import demo, main
from lightning_gen.configs import find_config


def run_demo(capsys, folder):
    """Exit code and stdout."""
    with pytest.raises(SystemExit) as caught:
        main(["demo", "--runs", str(folder)])
    return caught.value.code, capsys.readouterr().out


def scores(folder):
    """Model -> kind of checkpoint -> score -> value."""
    found = {}
    for path in folder.rglob("*.result.json"):
        record = json.loads(path.read_text())
        values = {score["name"]: score["value"] for score in record["scores"]}
        found.setdefault(record["model"]["name"], {})[record["checkpoint"]["kind"]] = values
    return found


def require_output(out, folder):
    """The leaderboard, and files that exist, are all named."""
    assert "VAE" in out
    assert "MAF" in out
    assert "MADE" in out
    assert "DCGAN" in out
    assert "FD(digits-cnn)" in out
    runs = re.findall(r"^run folder: +(.+)$", out, flags=re.MULTILINE)
    sheets = re.findall(r"^sample sheet: +(.+)$", out, flags=re.MULTILINE)
    assert len(runs) == len(sheets) == 5
    for run in map(pathlib.Path, runs):
        assert run.is_relative_to(folder)
        assert (run / "checkpoints" / "last.ckpt").is_file()
    for sheet in sheets:
        assert pathlib.Path(sheet).name.startswith("samples_")
        assert Image.open(sheet).format == "PNG"


def require_margins(kinds, distance, classifier, bits):
    """Every trained checkpoint beats the untrained network: FD so many times smaller, CS so many times larger, bits/dim so much lower."""
    untrained = kinds.pop("untrained")
    assert kinds
    for trained in kinds.values():
        assert trained.keys() == untrained.keys()
        assert trained["FD(digits-cnn)"] * distance < untrained["FD(digits-cnn)"]
        assert trained["CS(digits-cnn)"] > classifier * untrained["CS(digits-cnn)"]
        if "bits/dim" in trained:
            assert trained["bits/dim"] < untrained["bits/dim"] - bits


@pytest.fixture
def small_configs(tmp_path, monkeypatch):
    """The demo's experiments with a fifth of the images and none of the work in between."""
    files = []
    for name in demo.CONFIGS:
        content = yaml.safe_load(find_config(name).read_text())
        quiet = {key: {**content.get(key, {}), "every_images": 0} for key in ("evaluation", "checkpoints")}
        smaller = {
            "budget": {"images": 20_000},
            "final": {"num_samples": 500, "likelihood_samples": 2},
            "samples": {"every_images": 20_000},
        }
        files.append(tmp_path / f"{name}.yaml")
        files[-1].write_text(yaml.safe_dump({**content, **quiet, **smaller}))
    monkeypatch.setattr(demo, "CONFIGS", tuple(map(str, files)))


@pytest.mark.usefixtures("small_configs")
def test_a_small_demo_ranks_five_models_and_names_their_files(capsys, tmp_path):
    code, out = run_demo(capsys, tmp_path / "runs")
    assert code == 0
    require_output(out, tmp_path / "runs")
    found = scores(tmp_path / "runs")
    require_margins(found["VAE"], distance=3, classifier=2, bits=0.3)
    require_margins(found["VampPriorVAE"], distance=3, classifier=2, bits=0.3)
    require_margins(found["MAF"], distance=2, classifier=1.2, bits=1)
    require_margins(found["MADE"], distance=2, classifier=1.2, bits=1)
    require_margins(found["DCGAN"], distance=2, classifier=1.1, bits=0)


@pytest.mark.slow
def test_the_demo_beats_the_untrained_networks_by_far(capsys, tmp_path):
    code, out = run_demo(capsys, tmp_path / "runs")
    assert code == 0
    require_output(out, tmp_path / "runs")
    found = scores(tmp_path / "runs")
    assert "bits/dim" in found["VAE"]["best"]
    # What an untrained flow or MADE samples is noise, which looks less wrong to a classifier than a grey sheet does.
    margins = {"MAF": (5, 2, 2.5), "MADE": (5, 2, 1.5)}
    for name, kinds in found.items():
        assert kinds.keys() == {"untrained", "best", "last"}
        require_margins(kinds, *margins.get(name, (5, 2, 0.3)))
