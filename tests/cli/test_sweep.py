"""``lightning-gen sweep``: its options, what it refuses before anything starts, what it shows, and two real trainings."""

import contextlib
import io
import os
import pathlib
import signal
import subprocess
import sys
import time
import zipfile

import pytest
from cli_runs import records
from fake_sweep import hear_signals, members
from rich.console import Console

from lightning_gen.cli import sweep_job
from lightning_gen.cli.sweep_check import checked_members
from lightning_gen.cli.sweep_display import SweepDisplay, summary, table
from lightning_gen.cli.sweep_grid import read_grid
from lightning_gen.cli.sweep_report import report
from lightning_gen.cli.sweep_runner import Row, Runner
from lightning_gen.configs import SWEEPS, find_sweep
from lightning_gen.errors import Preempted, UserError
from lightning_gen.models import VAE

GRID = "parameters: {config: vae_digits, model.latent_dim: [4, 8], seed_everything: [0, 1]}\n"


@pytest.fixture
def grid(tmp_path, monkeypatch):
    """Write a grid into an empty working folder."""
    monkeypatch.chdir(tmp_path)

    def write(text=GRID):
        (tmp_path / "grid.yaml").write_text(text)
        return "grid.yaml"

    return write


def test_a_dry_run_prints_commands_that_fit_reads_and_leaves_nothing(execute, grid, tmp_path):
    outcome = execute("sweep", grid(), "--seeds", "3", "--dry_run", "--", "--config", "overlays/smoke")
    assert outcome.code == 0
    first, second = outcome.out.splitlines()
    assert first.startswith("lightning-gen fit --runs runs/sweeps/grid/latent_dim=4-")
    assert first.endswith(" --config=vae_digits --model.latent_dim=4 --seed_everything=3 --config overlays/smoke")
    assert "--model.latent_dim=8" in second
    assert [path.name for path in tmp_path.iterdir()] == ["grid.yaml"]
    assert execute(*first.split()[1:], "--print_config").code == 0


def test_members_that_differ_by_their_seed_alone_are_built_once(grid, tmp_path, monkeypatch):
    built = []
    monkeypatch.setattr(VAE, "build_decoder", lambda model, *parts, build=VAE.build_decoder: built.append(model) or build(model, *parts))
    checked_members(read_grid(tmp_path / grid()), tmp_path)
    assert len(built) == 2


def test_whatever_a_members_own_class_raises_is_one_line_that_names_the_member(grid, tmp_path, monkeypatch):
    def fail(*_):
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr(VAE, "build_decoder", fail)
    with pytest.raises(UserError, match=r"grid\.yaml: member model.latent_dim=4, seed_everything=0 cannot be built: by zero$"):
        checked_members(read_grid(tmp_path / grid()), tmp_path)


def folders(outcome):
    """The members' folders in what a dry run prints."""
    return [pathlib.Path(line.split()[3]) for line in outcome.out.splitlines()]


def test_a_member_keeps_its_folder_when_the_grid_grows_from_one_value_to_several_and_back(execute, grid):
    name = grid("parameters: {config: vae_digits, model.latent_dim: 4}\n")
    (alone,) = folders(execute("sweep", name, "--seeds", "0", "--dry_run"))
    alone.mkdir(parents=True)
    first, second = folders(execute("sweep", name, "--seeds", "0,1", "--dry_run"))
    assert first == alone
    second.mkdir()
    assert folders(execute("sweep", name, "--seeds", "1", "--dry_run")) == [second]


@pytest.mark.parametrize("name", ["beta_vae_digits", "sweeps/beta_vae_digits", str(SWEEPS / "beta_vae_digits.yaml")])
def test_a_shipped_grid_is_found_by_its_name(name):
    assert find_sweep(name) == SWEEPS / "beta_vae_digits.yaml"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("parameters: {config: vae_digit}", ["--config vae_digit", "did you mean 'vae_digits'?"]),
        ("parameters: {config: vae_digits, model.laten_dim: [4]}", ["model.laten_dim: unknown option of VAE; did you mean 'latent_dim'?"]),
        ("parameters: {config: vae_digits, budgt.images: [4]}", ["unknown option --budgt.images; did you mean '--budget.images'?"]),
        ("parameters: {config: vae_digits, budget.images: [4, many]}", ["budget.images", "'many'", "(member budget.images=many)"]),
        ("parameters: {config: vae_digits, seed_everything: [-1]}", ["seed_everything: expected 0 to"]),
        ("parameters: {config: vae_digits, model.likelihood: [Gaussian, Gaussian]}", ["Gaussian occurs 2 times"]),
        ("parameters: {config: vae_digits, model.learning_rate: ['1e-3', 0.001]}", ["are the same training"]),
        ("- config", ["expected a mapping"]),
        ("parameters: {config: vae_digits, model.latent_dim: [4, 0]}", ["model.latent_dim: expected at least 1, got 0 (member"]),
        ("parameters: {config: vae_digits, data.batch_size: [0, 8]}", ["data.batch_size: expected an integer of at least 1, got 0"]),
        ("parameters: {config: dcgan_digits, trainer.precision: [16-mixed, 32-true]}", ["one scaler cannot serve two optimisers"]),
        (
            "parameters: {config: vae_digits}\ncommand: [fit, '${args}', --model.latent_dim, '0']",
            ["model.latent_dim", "(member the only member)"],
        ),
        ("parameters: {config: vae_digits}\ncommand: [fit, '${args}', --print_config]", ["options of a training, got one that prints"]),
    ],
)
def test_a_bad_member_is_one_line_before_anything_starts(refused, grid, tmp_path, text, words):
    outcome = refused(["sweep", grid(text)], "grid.yaml", *words)
    assert outcome.code == 2
    assert [path.name for path in tmp_path.iterdir()] == ["grid.yaml"]


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--seeds", "a"], "--seeds: expected whole numbers"),
        (["--jobs", "0"], "--jobs: expected at least 1"),
        (["--job", "2"], "unknown option --job; did you mean '--jobs'?"),
        (["--", "--runs", "x"], "runs follows from the sweep's folder"),
        (["--", "--modl.x", "1"], "unknown option --modl.x"),
    ],
)
def test_a_bad_option_is_one_line(refused, grid, argv, words):
    refused(["sweep", grid(), *argv], words)


def test_no_grid_of_that_name_is_one_line_with_the_nearest(refused, grid):
    refused(["sweep", "gan_loses_digits"], "sweep gan_loses_digits: neither a file nor a shipped grid", "did you mean 'gan_losses_digits'?")


def test_a_grid_is_no_configuration_of_fit(refused):
    refused(
        ["fit", "--config", "sweeps/beta_vae_digits"], "a grid of many experiments; expected lightning-gen sweep sweeps/beta_vae_digits"
    )


# What is shown.


@pytest.fixture
def rows(tmp_path):
    found = [Row(member) for member in members(tmp_path, ["a=1", "a=2", "a=[bold]x", "a=4"])]
    for row, status, text in zip(
        found, ("finished", "failed", "running", "waiting"), ("FD 3.1", "no [red]data", "5 of 9", ""), strict=True
    ):
        row.status, row.text = status, text
    found[0].seconds = 61.0
    return found


def shown(content, **options):
    console = Console(file=io.StringIO(), **({"width": 100} | options))
    console.print(content)
    return console.file.getvalue()


def test_the_table_shows_every_members_values_status_time_and_words(rows):
    text = shown(table(rows, 50))
    for words in ("number", "finished", "1:01", "FD 3.1", "failed", "no [red]data", "[bold]x", "waiting"):
        assert words in text


def test_where_there_is_little_room_the_running_come_first(rows):
    text = shown(table(rows, 2))
    assert "running" in text
    assert "failed" not in text


@pytest.mark.parametrize("width", [36, 50])
def test_in_a_narrow_terminal_status_and_time_are_whole_and_each_member_has_one_line(rows, width):
    for row in rows:
        row.member.values["model.decoder"] = "[1, 2, 3, 4, 5, 6, 7, 8]"
    lines = shown(table(rows, 50), width=width).splitlines()
    assert len(lines) == 2 + len(rows)
    assert [row.status for row, line in zip(rows, lines[2:], strict=True) if row.status in line] == [row.status for row in rows]
    assert "1:01" in lines[2]


def test_a_summary_counts(rows):
    assert summary(rows) == "2 of 4 done: 1 running, 1 finished, 1 failed, 1 waiting"


def test_without_a_terminal_every_change_is_a_line(rows):
    console = Console(file=io.StringIO(), width=20)
    with SweepDisplay(console) as display:
        display.changed(rows, rows[0])
        display.show(rows)
    assert console.file.getvalue() == "2 of 4 done: finished  number=0, a=1  1:01  FD 3.1\n"


def test_a_terminal_gets_a_table_that_changes(rows):
    console = Console(file=io.StringIO(), width=100, height=30, force_terminal=True)
    with SweepDisplay(console) as display:
        display.show(rows)
        rows[2].text = "9 of 9"
        display.changed(rows, rows[2])
        display.show(rows)
    text = console.file.getvalue()
    assert text.index("5 of 9") < text.index("9 of 9")
    assert "2 of 4 done: " in text


@pytest.fixture
def runner(rows):
    made = Runner([], [], None)
    made.rows = rows
    return made


def test_members_that_wait_when_a_sweep_ends_say_how_to_go_on(runner):
    with pytest.raises(Preempted, match=r"1 of 4 members have finished, continue with: lightning-gen sweep x"):
        report(runner, "lightning-gen sweep x")


def test_the_end_says_which_member_is_which_run(runner, capsys):
    for row in runner.rows:
        row.status = "finished"
    run = runner.rows[1].member.folder / "vae_digits" / "20260101-000000-abcdef"
    (run / "checkpoints").mkdir(parents=True)
    with zipfile.ZipFile(run / "checkpoints" / "last.ckpt", "w") as file:
        file.writestr("a", "b")
    assert report(runner, "") == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "vae_digits/20260101-000000-abcdef" in line]
    assert line.split()[:2] == ["1", "2"]


# Real trainings.


@contextlib.contextmanager
def sweep_of_trainings(folder):
    words = ["sweep", "grid.yaml", "--folder", str(folder), "--jobs", "2", "--", "--config", "overlays/smoke"]
    words += ["--checkpoints.every_images", "640", "--evaluation.every_images", "0", "--budget.images", "6400"]
    environment = os.environ | {"PYTHONPATH": str(pathlib.Path(sweep_job.__file__).parents[2]), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "lightning_gen", *words]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=hear_signals)
    try:
        yield process
    finally:
        process.kill()


@pytest.mark.slow(reason="imports Lightning in six processes")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT], ids=lambda number: number.name)
def test_a_sweep_of_trainings_that_is_ended_goes_on_to_its_leaderboard(grid, tmp_path, number):
    grid("parameters: {config: vae_digits, seed_everything: [0, 1]}\n")
    folder = tmp_path / "sweep"
    with sweep_of_trainings(folder) as process:
        end = time.monotonic() + 300
        while len([*folder.glob("*/*/*/checkpoints/last.ckpt")]) < 2 and time.monotonic() < end:
            time.sleep(0.05)
        process.send_signal(number)
        process.communicate(timeout=120)
    assert process.returncode == (75 if number == signal.SIGINT else -9)
    with sweep_of_trainings(folder) as process:
        out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert "FD(digits-cnn)" in out
    assert "2 of 2 done" in err
    assert len([*folder.glob("*/*/*/config.yaml")]) == 2  # both continued, none started anew
    assert all(record["cost"]["images_seen"] == 6400 for record in records(folder) if record["checkpoint"]["kind"] == "last")
    assert {record["training_seed"] for record in records(folder)} == {0, 1}
