"""What pyproject.toml lists is what the tree holds, and an installed copy finds its configurations and weights."""

import configparser
import importlib.util
import pathlib
import shutil
import tomllib

import pytest

import lightning_gen
from lightning_gen import configs
from lightning_gen.cli import COMMANDS
from lightning_gen.errors import UserError
from lightning_gen.leaderboard.page.build import SCRIPTS

ROOT = pathlib.Path(__file__).parent.parent
PACKAGE = ROOT / "lightning_gen"
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
SETUPTOOLS = PYPROJECT["tool"]["setuptools"]


def packaged(package: str) -> set[pathlib.Path]:
    """The data files that the wheel takes from a package, by its globs."""
    folder = ROOT / SETUPTOOLS["package-dir"].get(package, package.replace(".", "/"))
    return {path for glob in SETUPTOOLS["package-data"][package] for path in folder.glob(glob) if path.is_file()}


def test_the_list_of_packages_is_the_tree():
    code = {".".join(file.parent.relative_to(ROOT).parts) for file in PACKAGE.rglob("__init__.py")}
    # A folder of data counts as a package for setuptools.
    folders = {file.parent.relative_to(ROOT / "configs") for file in (ROOT / "configs").rglob("*.yaml")}
    data = {".".join(("lightning_gen", "_configs", *folder.parts)) for folder in folders} | {"lightning_gen.metrics.weights"}
    assert SETUPTOOLS["packages"] == sorted(code | data)


def test_every_folder_with_modules_is_a_package():
    assert {file.parent for file in PACKAGE.rglob("*.py")} == {file.parent for file in PACKAGE.rglob("__init__.py")}


def test_every_configuration_is_in_the_wheel():
    assert packaged("lightning_gen._configs") == {path for path in (ROOT / "configs").rglob("*") if path.is_file()}
    assert ROOT / "configs" / "overlays" / "smoke.yaml" in packaged("lightning_gen._configs")


def test_every_weight_with_its_card_is_in_the_wheel():
    weights = {path for path in (PACKAGE / "metrics" / "weights").iterdir() if path.is_file()}
    assert packaged("lightning_gen.metrics") == weights
    assert {path.suffix for path in weights} == {".pt", ".json"}


def test_the_page_of_the_leaderboard_is_in_the_wheel():
    listed = packaged("lightning_gen.leaderboard.page")
    assert {path.name for path in listed} == {"page.html", "page.css", *SCRIPTS}


def test_the_package_holds_no_other_data():
    listed = {path for package in ("metrics", "leaderboard", "leaderboard.page") for path in packaged(f"lightning_gen.{package}")}
    others = {path for path in PACKAGE.rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")}
    assert others == listed


def test_metadata_has_one_home():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    # Metadata in both files would silently drop the dependencies from the wheel.
    assert not {"metadata", "options"} & set(setup.sections())
    assert not (ROOT / "setup.py").exists()
    assert PYPROJECT["project"]["dependencies"]
    assert not {"dependencies", "optional-dependencies"} & set(PYPROJECT["project"]["dynamic"])


def test_the_version_and_the_command_exist():
    assert SETUPTOOLS["dynamic"]["version"] == {"attr": "lightning_gen.__version__"}
    assert lightning_gen.__version__
    assert PYPROJECT["project"]["scripts"] == {"lightning-gen": "lightning_gen.cli:main"}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_its_module(command):
    assert (PACKAGE / "cli" / f"{command}.py").is_file()


def test_configurations_are_found_in_an_installed_copy(tmp_path):
    """The layout of the wheel: configs/ has become lightning_gen/_configs, and there is no checkout around it."""
    installed = tmp_path / "lightning_gen"
    installed.mkdir()
    shutil.copy(PACKAGE / "configs.py", installed)
    shutil.copytree(ROOT / "configs", installed / "_configs")
    spec = importlib.util.spec_from_file_location("installed_configs", installed / "configs.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert installed / "_configs" / "base.yaml" == module.BASE
    assert module.config_names().keys() == configs.config_names().keys()
    assert module.find_config("overlays/smoke") == installed / "_configs" / "overlays" / "smoke.yaml"
    with pytest.raises(UserError, match="did you mean 'vae_digits'"):
        module.find_config("vae_digit")
