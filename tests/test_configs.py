"""Every shipped configuration says what it is, parses, and, where its data needs no download, trains from start to result record."""

import pathlib
import re
import shlex

import pytest
import yaml

from lightning_gen import data, models
from lightning_gen.cli import main
from lightning_gen.cli.list import header
from lightning_gen.configs import BASE, config_names, is_overlay, is_sweep
from lightning_gen.models.capabilities import capabilities_of

NAMES = config_names()
EXPERIMENTS = {name: path for name, path in NAMES.items() if not is_overlay(path) and not is_sweep(path)}
OVERLAYS = {name: path for name, path in NAMES.items() if is_overlay(path)}
SWEEPS = {name: path for name, path in NAMES.items() if is_sweep(path)}
EMBEDDED = ("Digits", "PhotoPatches", "Factors", "ToyDensity")
"""Data sets that come with a dependency, or are generated."""
FIELDS = ("Run", "Expect", "Time")


def content(path: pathlib.Path) -> dict:
    return yaml.safe_load(path.read_text())


def fields(path: pathlib.Path) -> dict[str, str]:
    """The header's ``Run``, ``Expect`` and ``Time``."""
    return dict(re.findall(rf"^({'|'.join(FIELDS)}):\s+(.+)$", header(path), flags=re.MULTILINE))


def command(path: pathlib.Path) -> list[str]:
    return shlex.split(fields(path)["Run"])


def data_arguments(name: str, folder: pathlib.Path) -> list[str]:
    """What the header leaves to the user: a folder."""
    return [str(folder) if word == "FOLDER" else word for word in command(EXPERIMENTS[name])[4:]]


def test_there_are_configurations_to_test():
    assert len(EXPERIMENTS) >= 15
    assert {"overlays/smoke", "overlays/gpu", "overlays/ddp", "overlays/wandb"} <= OVERLAYS.keys()


def test_no_two_files_share_a_short_name():
    files = [path for path in BASE.parent.rglob("*.yaml") if path != BASE]
    assert len(files) == len(NAMES)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_a_header_names_the_paper_the_command_the_number_and_the_time(name):
    path = EXPERIMENTS[name]
    assert re.search(r"arXiv:\d{4}\.\d{4,5}", header(path).splitlines()[0])
    assert fields(path).keys() == set(FIELDS)
    assert command(path)[:4] == ["lightning-gen", "fit", "--config", name]


@pytest.mark.parametrize("name", OVERLAYS)
def test_an_overlay_says_what_it_changes_and_is_used_on_top_of_a_configuration(name):
    path = OVERLAYS[name]
    words = command(path)
    configs = [words[index + 1] for index, word in enumerate(words) if word == "--config"]
    assert header(path).startswith("Overlay: ")
    assert configs[0] in EXPERIMENTS
    assert name in configs[1:]


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_a_configuration_lies_in_its_familys_folder_and_names_our_classes(name):
    path = EXPERIMENTS[name]
    model = content(path)["model"]["class_path"]
    assert models.MODELS[model].partition(".")[0] == path.parent.name
    assert content(path)["data"]["class_path"] in data.DATASETS


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_a_configuration_parses(name, tmp_path, capsys):
    arguments = ["fit", "--config", name, *data_arguments(name, tmp_path), "--print_config"]
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    printed = yaml.safe_load(capsys.readouterr().out)
    assert stop.value.code == 0
    assert printed["budget"]["images"] == content(EXPERIMENTS[name])["budget"]["images"]


@pytest.mark.parametrize("name", [name for name, path in EXPERIMENTS.items() if content(path)["data"]["class_path"] in EMBEDDED])
def test_a_configuration_trains(name, tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["fit", "--config", name, "--config", "overlays/smoke", "--runs", str(tmp_path)])
    assert stop.value.code == 0, capsys.readouterr().err
    (run,) = (tmp_path / name).iterdir()
    assert (run / "checkpoints" / "last.ckpt").is_file()
    cls = getattr(models, content(EXPERIMENTS[name])["model"]["class_path"])
    drawn = {"samples": "sampling", "reconstructions": "reconstruction"}
    for picture, capability in drawn.items():
        assert bool([*(run / "pictures").glob(f"{picture}_*.png")]) == (capability in capabilities_of(cls)), picture
    # A GAN on data without a feature extractor has nothing to be scored by, and fit says so.
    assert bool([*(run / "results").glob("*.result.json")]) != ("no scores: " in capsys.readouterr().err)
