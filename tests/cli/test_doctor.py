"""The doctor says what is there, and fails only for what stops a training."""

import json
import sys

import pytest

from lightning_gen.cli import main
from lightning_gen.metrics.extractors import inception_weights


@pytest.fixture
def doctor(tmp_path, monkeypatch, capsys):
    """The findings by what they are about, with the exit code."""
    monkeypatch.setenv("LIGHTNING_GEN_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(inception_weights, "checkpoints_folder", lambda: tmp_path / "hub")
    monkeypatch.delenv(inception_weights.VARIABLE, raising=False)

    def examine(*options):
        with pytest.raises(SystemExit) as stop:
            main(["doctor", "--json", "--runs", str(tmp_path / "runs"), *options])
        findings = json.loads(capsys.readouterr().out)
        return stop.value.code, {finding["what"]: (finding["state"], finding["found"]) for finding in findings}

    return examine


def test_a_machine_without_weights_and_without_a_gpu_can_train(doctor):
    code, found = doctor()
    assert code == 0
    assert found["Inception weights"][0] == "note"
    assert {"lightning-gen", "torch", "CPU", "processes", "W&B", "runs", "data", "cache"} <= found.keys()
    assert not [what for what, (state, _) in found.items() if state == "problem"]


def test_damaged_weights_are_a_problem(doctor, tmp_path):
    (tmp_path / "hub").mkdir()
    (tmp_path / "hub" / inception_weights.FILE_NAME).write_bytes(b"cut short")
    code, found = doctor()
    assert (code, found["Inception weights"][0]) == (1, "problem")
    assert "not the official ones" in found["Inception weights"][1]


def test_weights_that_are_named_and_not_there_are_a_problem(doctor, tmp_path, monkeypatch):
    monkeypatch.setenv(inception_weights.VARIABLE, str(tmp_path / "nowhere.pth"))
    code, found = doctor()
    assert (code, found["Inception weights"][0]) == (1, "problem")


def test_a_folder_of_runs_that_is_a_file_is_a_problem(doctor, tmp_path):
    (tmp_path / "runs").write_text("")
    code, found = doctor()
    assert (code, found["runs"][0]) == (1, "problem")


def test_what_a_launcher_started_is_told(doctor, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert doctor()[1]["processes"] == ("ok", "WORLD_SIZE 4")


def test_a_mode_of_wandb_that_is_none_is_a_problem(doctor, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "sometimes")
    code, found = doctor()
    assert (code, found["W&B"][0]) == (1, "problem")


def test_a_broken_torch_is_a_problem_and_hides_nothing_else(doctor, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)  # what follows imports it in vain
    code, found = doctor()
    assert (code, found["devices"][0], found["processes"][0]) == (1, "problem", "problem")
    assert "torch" in found["devices"][1]
    assert {"lightning-gen", "torch", "W&B", "runs"} <= found.keys()
