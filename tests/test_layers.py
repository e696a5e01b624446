"""Imports never point upward, so that every part can be read, tested and used without those above it."""

import ast
import pathlib
from collections.abc import Iterator

import pytest

import lightning_gen

ROOT = pathlib.Path(lightning_gen.__file__).parent
LAYERS = [
    {"", "errors", "files", "lazy", "images", "noise", "registry", "distributed", "configs", "tracking", "nn"},
    {"bijections", "distributions"},
    {"models", "data", "metrics"},
    {"exported", "checkpoint", "evaluation", "leaderboard", "reporting"},
    {"analysis"},
    {"callbacks"},
    {"cli", "api", "__main__"},
]
LAYER = {part: number for number, parts in enumerate(LAYERS) for part in parts}
FILES = sorted(ROOT.rglob("*.py"))
INDEPENDENT = {"data": {"models", "metrics"}, "metrics": {"models", "data"}, "models": {"data", "metrics"}}
"""What parts of one layer may not know of each other."""


def module_of(file: pathlib.Path) -> str:
    """``models.gans.gan`` of ``lightning_gen/models/gans/gan.py``."""
    return ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__").removesuffix("__init__")


def imports(file: pathlib.Path) -> Iterator[str]:
    """The modules of the package that a file imports anywhere, without the package's name; a name that is no module counts as its owner."""
    for node in ast.walk(ast.parse(file.read_text())):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            package, _, inside = name.partition(".")
            if package == "lightning_gen":
                yield inside if is_module(inside) else inside.rpartition(".")[0]


def is_module(name: str) -> bool:
    path = ROOT.joinpath(*name.split("."))
    return path.is_dir() or path.with_suffix(".py").is_file()


def part_of(module: str) -> str:
    return module.partition(".")[0]


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_imports_never_point_upward(file):
    own = part_of(module_of(file))
    assert own in LAYER, f"{own}: say in this test to which layer it belongs"
    upward = [name for name in imports(file) if LAYER[part_of(name)] > LAYER[own]]
    across = [name for name in imports(file) if part_of(name) in INDEPENDENT.get(own, ())]
    assert not upward + across


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_outside_of_models_a_model_is_known_by_its_contract_only(file):
    allowed = {"models", "models.base", "models.capabilities"}
    others = [name for name in imports(file) if part_of(name) == "models" and name not in allowed]
    assert not others or part_of(module_of(file)) == "models"


def test_the_check_sees_imports_of_every_form(tmp_path):
    lines = [
        "import lightning_gen.cli",
        "from lightning_gen import images as pixels, __version__",
        "from lightning_gen.nn.mlp import MLPEncoder",
    ]
    (tmp_path / "file.py").write_text("\n".join([*lines, "def f():", "    from lightning_gen.models import base, VAE", "import torch.nn"]))
    assert list(imports(tmp_path / "file.py")) == ["cli", "images", "", "nn.mlp", "models.base", "models"]


def test_evaluation_builds_on_the_leaderboards_record():
    assert "leaderboard.record" in imports(ROOT / "evaluation" / "scores.py")
