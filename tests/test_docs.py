"""The guides are followed to the letter: files are written, commands are run, in the order of the page."""

import glob
import json
import pathlib
import re
import runpy
import shlex
import sys

import pytest
import yaml

from lightning_gen import registry
from lightning_gen.cli import main
from lightning_gen.cli.sweep_grid import read_grid
from lightning_gen.models import MODELS

ROOT = pathlib.Path(__file__).parent.parent
DOCS = ROOT / "docs"
GUIDE = (DOCS / "add_a_model.md").read_text()
METRICS = (DOCS / "metrics.md").read_text()
SWEEPS = (DOCS / "sweeps.md").read_text()
PAGES = {family: (DOCS / "models" / f"{family}.md").read_text() for family in ("autoencoders", "autoregressive", "flows", "gans")}


def blocks(text: str, mark: str) -> list[tuple[str, str]]:
    """What stands behind the language of each marked code block, and the block."""
    return [(found[1], found[2]) for found in re.finditer(rf"^```\w+ ({mark}\S*)\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)]


def write_files(text: str) -> None:
    for mark, content in blocks(text, "file="):
        pathlib.Path(mark.removeprefix("file=")).write_text(content)


def commands(text: str) -> list[list[str]]:
    return [shlex.split(line) for _, block in blocks(text, "run") for line in block.splitlines()]


def run(words: list[str]) -> None:
    """A command of the guide, in this process; a pattern of the shell stands for the oldest match, since the guide means one run."""
    assert words[0] == "lightning-gen"
    arguments = [min(glob.glob(word), default=word) if "*" in word else word for word in words[1:]]
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 0, words


@pytest.fixture
def user(tmp_path, monkeypatch):
    """A user in an empty folder, whose modules and trust are forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(registry, "_trusted", set(registry._trusted))
    known = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - known:
        if name.startswith("my_"):
            del sys.modules[name]


def test_the_guide_to_a_new_model_works(user, capsys):
    write_files(GUIDE)
    for words in commands(GUIDE):
        run(words)
    capsys.readouterr()
    run(["lightning-gen", "leaderboard", "--json"])
    records = [path for path in (user / "runs" / "boxes").rglob("*.result.json")]
    scores = {(found["model"]["name"], score["kind"]): score["value"] for found in map(_read, records) for score in found["scores"]}
    assert (user / "sheet.png").is_file()
    assert scores["IndependentPixels", "exact"] < 4  # bits/dim: it has learned something of 4 bits
    assert scores["LinearVAE", "lower bound"] < 4
    assert len(json.loads(capsys.readouterr().out)["tables"]) >= 2  # the test and the validation split


def _read(path: pathlib.Path) -> dict:
    return json.loads(path.read_text())


def test_the_commands_and_the_call_of_the_page_on_scores_work(user, capsys):
    write_files(METRICS)
    for words in commands(METRICS):
        run(words)
    capsys.readouterr()
    runpy.run_path("score_my_images.py")
    printed = capsys.readouterr().out
    assert [line.partition("(")[0] for line in printed.splitlines()] == ["FD", "precision", "recall", "density", "coverage"]


def test_the_commands_of_the_page_on_the_leaderboard_work(user, capsys):
    for words in commands((DOCS / "leaderboard.md").read_text()):
        run(words)
    printed = capsys.readouterr().out
    assert " is better" in printed or "cannot tell" in printed
    assert "within tolerance" in printed
    assert "vae_digits" in (user / "site" / "index.html").read_text()


def test_the_cells_of_the_page_on_python_work(user, capsys):
    names: dict = {}
    for number, (_, cell) in enumerate(blocks((DOCS / "python.md").read_text(), "cell")):
        exec(compile(cell, f"python.md, cell {number}", "exec"), names)
    assert names["images"].shape == (16, 1, 8, 8)
    assert (user / "my_vae" / "weights.safetensors").is_file()


def test_the_commands_of_the_page_on_autoencoders_work(user, capsys):
    for words in commands(PAGES["autoencoders"]):
        run(words)
    assert [*(user / "runs" / "vae_digits").rglob("explore-traversal-*.png")]
    assert [*(user / "runs" / "autoencoder_digits_gaussian").rglob("last.ckpt")]


def test_the_commands_of_the_page_on_flows_work(user, capsys):
    for words in commands(PAGES["flows"]):
        run(words)
    assert [*(user / "runs" / "real_nvp_digits").rglob("explore-path-*.png")]
    assert (user / "sheet.png").is_file()


def test_the_commands_of_the_page_on_autoregressive_models_work(user, capsys):
    for words in commands(PAGES["autoregressive"]):
        run(words)
    assert [*(user / "runs" / "made_digits").rglob("explore-completion-*.png")]
    assert [*(user / "runs" / "vq_vae_digits").rglob("last.ckpt")]
    assert (user / "sheet.png").is_file()


def test_the_commands_of_the_page_on_gans_work(user, capsys):
    for words in commands(PAGES["gans"]):
        run(words)
    assert [*(user / "runs" / "lsgan_digits").rglob("last.ckpt")]
    assert (user / "sheet.png").is_file()


def test_the_commands_and_the_two_forms_of_a_grid_of_the_page_on_sweeps_work(user, capsys):
    write_files(SWEEPS)
    printed = []
    for words in commands(SWEEPS):
        run(words)
        printed.append(capsys.readouterr().out.splitlines())
    assert [len(lines) for lines in printed] == [6, 3, 9]
    short, long = (read_grid(user / name).members() for name in ("latents.yaml", "latents_wandb.yaml"))
    assert [values for _, values in short] == [values for _, values in long]


@pytest.mark.parametrize("family", PAGES)
def test_every_model_of_a_family_has_its_line_on_the_page(family):
    names = {name for name, module in MODELS.items() if module.startswith(f"{family}.")}
    assert names == set(re.findall(r"^\| `(\w+)` \|", PAGES[family].partition("## What")[0], flags=re.MULTILINE))


def test_nothing_runs_without_trust(user, capsys):
    write_files(GUIDE)
    with pytest.raises(SystemExit) as stop:
        main(["fit", "--config", "boxes.yaml"])
    assert stop.value.code == 2
    assert "my_models" in capsys.readouterr().err
    assert "my_models" not in sys.modules


def test_the_entry_points_of_the_guide_are_the_groups_that_are_read():
    assert set(re.findall(r'entry-points\."([^"]+)"', GUIDE)) == set(registry.ENTRY_POINT_GROUPS)


GPU_RUNS = re.findall(r"^lightning-gen (fit .+)$", (ROOT / "benchmarks" / "gpu.md").read_text(), flags=re.MULTILINE)


@pytest.mark.parametrize("command", GPU_RUNS)
def test_a_command_that_awaits_a_gpu_parses(command, capsys):
    with pytest.raises(SystemExit) as stop:
        main([*shlex.split(command), "--print_config"])
    assert stop.value.code == 0
    assert yaml.safe_load(capsys.readouterr().out)["trainer"]["accelerator"] in ("gpu", "auto")


@pytest.mark.parametrize("page", sorted(DOCS.rglob("*.md")), ids=lambda page: page.name)
def test_every_file_that_a_page_names_exists(page):
    written = {mark.removeprefix("file=") for mark, _ in blocks(page.read_text(), "file=")}
    named = set(re.findall(r"`([\w/]+\.(?:py|md|toml))`", page.read_text())) - written
    assert not [name for name in named if not any((folder / name).is_file() for folder in (ROOT, ROOT / "lightning_gen"))]


def test_configurations_in_the_guides_are_yaml():
    assert all(isinstance(yaml.safe_load(content), dict) for mark, content in blocks(GUIDE, "file=") if mark.endswith(".yaml"))
