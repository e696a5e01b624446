"""Every shipped grid says what it is for, has members that ``fit`` reads, and is a file that W&B's agent turns into the same commands."""

import importlib.util
import itertools
import json
import pathlib
import re
import shlex

import pytest
import yaml
from wandb.sdk.launch.sweeps.utils import create_sweep_command, create_sweep_command_args, load_sweep_config

from lightning_gen.cli import main
from lightning_gen.cli.list import header
from lightning_gen.cli.sweep_grid import read_grid
from lightning_gen.configs import FOLDER, SWEEPS, config_names
from lightning_gen.data import Digits
from lightning_gen.evaluation import Scoring, score_directions
from lightning_gen.tracking import SCORE_PREFIXES

GRIDS = sorted(SWEEPS.glob("*.yaml"))


def content(grid):
    return yaml.safe_load(grid.read_text())


@pytest.fixture(params=GRIDS, ids=lambda path: path.stem)
def grid(request):
    return request.param


def test_there_are_grids_to_test():
    assert len(GRIDS) >= 3
    assert {f"sweeps/{grid.stem}" for grid in GRIDS} <= config_names().keys()


def test_a_header_says_what_is_compared_how_to_run_it_here_and_in_wandb_and_how_long_it_takes(grid):
    lines = header(grid).splitlines()
    assert [line.split(":")[0] for line in lines] == ["Sweep", "Run", "W&B", "Time"]
    assert shlex.split(lines[1])[1:4] == ["lightning-gen", "sweep", grid.stem]
    assert f"wandb sweep configs/{grid.relative_to(FOLDER)}" in lines[2]
    members = len(read_grid(grid).members())
    assert re.search(rf": +{members} members of", lines[3])


def test_every_member_is_read_by_fit(grid, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        main(["sweep", grid.stem, "--dry_run"])
    out, err = capsys.readouterr()
    assert stop.value.code == 0, err
    assert len(set(out.splitlines())) == len(read_grid(grid).members())


def test_a_grid_fits_the_schema_of_wandb(grid):
    """The schema lies in the package ``sweeps``, which pins an old NumPy: this runs where somebody has unpacked it."""
    jsonschema = pytest.importorskip("jsonschema")
    package = importlib.util.find_spec("sweeps")
    if package is None:
        pytest.skip("the package sweeps is not there")
    schema = json.loads((pathlib.Path(package.origin).parent / "config" / "schema.json").read_text())
    jsonschema.Draft7Validator(schema).validate(content(grid))


def wandb_commands(grid):
    """What W&B's agent would run, for every combination, with parameters in the order of their names, in which a server may give them."""
    file = load_sweep_config(str(grid))
    parameters = sorted(file["parameters"].items())
    for values in itertools.product(*(spec.get("values") or [spec["value"]] for _, spec in parameters)):
        found = {name: {"value": value} for (name, _), value in zip(parameters, values, strict=True)}
        words = {"env": ["/usr/bin/env"], "interpreter": ["python"], "program": [file["program"]]}
        words |= create_sweep_command_args({"args": found})
        command = []
        for word in create_sweep_command(file["command"]):
            command += words[word[2:-1]] if word.startswith("${") else [word]
        yield command


def test_wandbs_agent_runs_the_members_that_we_run(grid):
    commands = [*wandb_commands(grid)]
    assert all(command[:3] == ["/usr/bin/env", "lightning-gen", "fit"] for command in commands)
    assert sorted(command[3:] for command in commands) == sorted(options for options, _ in read_grid(grid).members())


def test_the_name_is_the_files_and_the_metric_is_one_that_a_run_logs(grid):
    metric = content(grid)["metric"]
    prefix, _, name = metric["name"].partition("/")
    better = score_directions(Digits(batch_size=64), Scoring())[name]
    assert content(grid)["name"] == grid.stem
    assert prefix in SCORE_PREFIXES
    assert metric["goal"] == {"lower": "minimize", "higher": "maximize"}[better]


def test_a_grid_is_listed_with_the_configurations(capsys):
    with pytest.raises(SystemExit):
        main(["list", "configs", "--json"])
    names = [entry["name"] for entry in json.loads(capsys.readouterr().out)["configs"]]
    assert {f"sweeps/{grid.stem}" for grid in GRIDS} <= set(names)
