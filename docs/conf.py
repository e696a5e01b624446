"""The documentation as a site: ``sphinx-build -W docs SITE``. Pages are the Markdown files here, which read well in the repository too, and
``reference/``, which is made from the docstrings."""

from __future__ import annotations

import pathlib
import shutil
from typing import Any

from sphinx.application import Sphinx

import lightning_gen.models
from lightning_gen import __version__
from lightning_gen.models import MODELS

HERE = pathlib.Path(__file__).parent
MEASURED = HERE.parent / "benchmarks" / "results"
FAMILIES = {"autoencoders": "Autoencoders", "autoregressive": "Autoregressive models", "flows": "Flows", "gans": "GANs"}
CALLS = {
    "lightning_gen.api": ("load", "evaluate", "train", "resume", "build_trainer", "Result"),
    "lightning_gen.evaluation.api": ("score", "compute_reference", "Verdict"),
    "lightning_gen.evaluation.plan": ("Plan", "Scoring", "Evaluation"),
    "lightning_gen.evaluation.samples": ("Samples",),
    "lightning_gen.checkpoint": ("export",),
}
CONTRACTS = {
    "lightning_gen.models.base": ("GenerativeModel",),
    "lightning_gen.data.base": ("ImageDataModule",),
    "lightning_gen.metrics.extractors.base": ("Extractor",),
}
PAGES = {"python": ("Calls", CALLS), "contracts": ("Contracts", CONTRACTS)}
"""Name of a page of the reference -> its title, and the members of each module."""

project = "lightning-gen"
author = "the authors of lightning-gen"
release = version = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.mathjax", "sphinx.ext.viewcode"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]
html_theme = "furo"
html_show_copyright = False
html_title = f"lightning-gen {__version__}"
autodoc_typehints = "none"  # signatures have them
autodoc_member_order = "bysource"
napoleon_google_docstring, napoleon_numpy_docstring = True, False
# Lines of the docstrings name classes for their readers; not all of them have a page.
nitpicky = False


def make_pages(app: Sphinx) -> None:
    """The reference, and the measurements that pages link to, beside the pages; none of them is kept in the repository."""
    reference, results = HERE / "reference", HERE / "results"
    for folder in (reference, results):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
    for file in [*sorted(MEASURED.glob("*.md")), MEASURED.parent / "gpu.md"]:
        shutil.copy(file, results / file.name)
    for family, title in FAMILIES.items():
        (reference / f"{family}.rst").write_text(page(title, [auto(cls.__module__, cls.__name__) for cls in classes_of(family)]))
    for name, (title, members) in PAGES.items():
        (reference / f"{name}.rst").write_text(page(title, [auto(module, member) for module, found in members.items() for member in found]))


def classes_of(family: str) -> list[type]:
    """The models of a family, each after the classes that it builds on, the most general first."""
    models = [getattr(lightning_gen.models, name) for name, module in MODELS.items() if module.startswith(f"{family}.")]
    lines = [cls for model in models for cls in reversed(model.__mro__) if cls.__module__.startswith(f"lightning_gen.models.{family}.")]
    return list(dict.fromkeys(lines))


def page(title: str, blocks: list[str]) -> str:
    """A page of the reference."""
    return "\n".join([title, "=" * len(title), "", *blocks])


def auto(module: str, name: str) -> str:
    """The directive for a function or a class."""
    return f".. {'autoclass' if name[0].isupper() else 'autofunction'}:: {module}.{name}\n"


def point_at_copies(app: Sphinx, name: str, source: list[str]) -> None:
    """Links that lead out of the folder in the repository lead to the copies here."""
    for outside, here in (("../../benchmarks/results/", "../results/"), ("../benchmarks/results/", "results/"), ("../gpu.md", "gpu.md")):
        source[0] = source[0].replace(f"]({outside}", f"]({here}")


def setup(app: Sphinx) -> dict[str, Any]:
    """Sphinx calls this."""
    app.connect("builder-inited", make_pages)
    app.connect("source-read", point_at_copies)
    return {"parallel_read_safe": True}
