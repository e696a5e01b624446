"""Which modules came with a package, so that a name and a version say what is in them."""

from __future__ import annotations

import functools
import importlib.metadata
import pathlib
import sys
import sysconfig
from types import ModuleType

STANDARD = tuple({sysconfig.get_path(name) for name in ("stdlib", "platstdlib")})
FOLDERS = {"site-packages", "dist-packages"}
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
OURS = __name__.partition(".")[0]


def is_installed(module: ModuleType) -> bool:
    """Whether a module came with Python, with an installed package, or with this one, rather than from a file of the user's."""
    package = module.__name__.partition(".")[0]
    if package == OURS or package in sys.stdlib_module_names:
        return True
    files = [getattr(one, "__file__", None) or "" for one in (module, sys.modules.get(package, module))]
    return any(file.startswith(STANDARD) or not FOLDERS.isdisjoint(pathlib.PurePath(file).parts) for file in files)


def version_of(module: ModuleType) -> str | None:
    """Name and version of an installed module, without the part that names a build (``+cu130``); None when it has no version."""
    package = module.__name__.partition(".")[0]
    if package in sys.stdlib_module_names:
        return f"{module.__name__} {PYTHON}"
    version = getattr(sys.modules.get(package), "__version__", None)
    version = version if isinstance(version, str) else _distribution_version(package)
    return None if version is None else f"{module.__name__} {version.partition('+')[0]}"


@functools.cache
def _distribution_version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
