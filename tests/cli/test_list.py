"""``lightning-gen list``: every model, configuration and data set by name, those of installed packages included."""

import json
import sys
import types

import pytest

from lightning_gen import models
from lightning_gen.cli import list as list_command
from lightning_gen.models.base import GenerativeModel


class Digits:
    summary = "handwritten digits"


class Stranger(GenerativeModel):
    family = "gan"
    paper = "Nobody 2025"


@pytest.fixture(autouse=True)
def catalogue(monkeypatch, tmp_path):
    """One configuration, one data set, and an installed package with a model and a broken entry."""
    config = tmp_path / "vae_digits.yaml"
    config.write_text("# A VAE on digits.\n# Expect FD 12.\n#\n# details\nmodel: VAE\n")
    configs = types.SimpleNamespace(config_names=lambda: {"vae_digits": config})
    monkeypatch.setitem(sys.modules, "lightning_gen.configs", configs)
    data = types.SimpleNamespace(DATASETS={"Digits": "digits"}, Digits=Digits)
    monkeypatch.setitem(sys.modules, "lightning_gen.data", data)
    monkeypatch.setattr("lightning_gen.data", data, raising=False)
    entries = {"Stranger": f"{__name__}.Stranger", "Broken": "no_such_package.Model"}
    monkeypatch.setattr(list_command, "registered", lambda: entries)


def listed(capsys, *argv):
    assert list_command.run([*argv, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_every_model_is_listed_with_what_it_can_do(capsys):
    entries = {entry["name"]: entry for entry in listed(capsys, "models")["models"]}
    assert entries.keys() == {*models.MODELS, "Stranger"}
    assert entries["DCGAN"]["family"] == "gan"
    assert "likelihood" in entries["VAE"]["capabilities"]
    assert "likelihood" not in entries["DCGAN"]["capabilities"]
    assert entries["Stranger"]["class"].endswith(".Stranger")


def test_a_package_that_cannot_be_loaded_is_named_and_left_out(capsys):
    assert list_command.run(["models"]) == 0
    out, err = capsys.readouterr()
    assert "Stranger" in out
    assert "Broken (no_such_package.Model) cannot be loaded" in err
    assert err.count("\n") == 1


def test_configurations_come_with_the_top_of_their_header(capsys):
    assert list_command.run(["configs"]) == 0
    out = capsys.readouterr().out
    assert "A VAE on digits." in out
    assert "Expect" not in out
    assert listed(capsys, "configs") == {"configs": [{"name": "vae_digits", "header": "A VAE on digits.\nExpect FD 12."}]}


def test_data_sets_come_with_their_summary(capsys):
    (entry,) = listed(capsys, "data")["data"]
    assert (entry["name"], entry["summary"]) == ("Digits", "handwritten digits")


def test_everything_is_listed_when_nothing_is_named(capsys):
    assert list_command.run([]) == 0
    out = capsys.readouterr().out
    for word in ("VAE", "vae_digits", "handwritten digits", "configs: 1"):
        assert word in out


def test_a_misspelt_kind_is_one_line(capsys):
    with pytest.raises(SystemExit):
        list_command.run(["modles"])
    err = capsys.readouterr().err
    assert err.startswith("lightning-gen list: ")
    assert "'modles'" in err
    assert err.count("\n") == 1


def test_extractors_say_whose_weights_are_here(execute, monkeypatch, tmp_path):
    monkeypatch.setattr("torch.hub.get_dir", lambda: str(tmp_path))
    out = execute("list", "extractors").out
    assert "weights-inception-2015-12-05-6726825d.pth is downloaded once" in out
    assert all(name in out for name in ("cifar-cnn", "mnist-cnn", "digits-cnn", "vgg16"))
    (tmp_path / "mine.pth").write_bytes(b"other weights")
    monkeypatch.setenv("LIGHTNING_GEN_INCEPTION_WEIGHTS", str(tmp_path / "mine.pth"))
    assert "not the official ones" in execute("list", "extractors").out
