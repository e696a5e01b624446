"""The kinds of exploration by name, and which of them a model can be explored by."""

from __future__ import annotations

from collections.abc import Sequence

from lightning_gen.analysis.code_traversal import CodeTraversal
from lightning_gen.analysis.completion import Completion
from lightning_gen.analysis.density import Density
from lightning_gen.analysis.exploration import Explorer, Request
from lightning_gen.analysis.flow_path import FlowPath
from lightning_gen.analysis.holes import Holes
from lightning_gen.analysis.interpolation import Interpolation
from lightning_gen.analysis.latent_arithmetic import Arithmetic
from lightning_gen.analysis.latent_space import LatentSpace
from lightning_gen.analysis.manifold import Manifold
from lightning_gen.analysis.posterior import Posterior
from lightning_gen.analysis.reconstruction import Reconstruction
from lightning_gen.analysis.scatter import Scatter
from lightning_gen.analysis.temperature import Temperature
from lightning_gen.analysis.traversal import Traversal
from lightning_gen.errors import UserError, did_you_mean

EXPLORERS = (
    Posterior(), Traversal(), Manifold(), Scatter(), Interpolation(), Arithmetic(), Holes(), Reconstruction(),
    Density(), FlowPath(), Temperature(), Completion(), CodeTraversal(),
)  # fmt: skip
KINDS: dict[str, Explorer] = {explorer.name: explorer for explorer in EXPLORERS}


def find_kinds(key: str, names: Sequence[str]) -> list[Explorer]:
    """The explorers of some kinds, each once."""
    for name in names:
        if name not in KINDS:
            raise UserError(f"{key}: unknown value {name!r}; {did_you_mean(name, KINDS)}")
    return [KINDS[name] for name in dict.fromkeys(names)]


def refuse_unheeded(request: Request, explorers: Sequence[Explorer]) -> None:
    """An option that none of the explorers heeds is a mistake."""
    for option in request.named:
        if not any(option in explorer.options for explorer in explorers):
            takers = ", ".join(name for name, explorer in KINDS.items() if option in explorer.options)
            asked = ", ".join(explorer.name for explorer in explorers)
            raise UserError(f"{option}: {asked} takes none; expected nothing, or one of the kinds {takers}")


def obstacles(space: LatentSpace, explorers: Sequence[Explorer], request: Request) -> dict[str, str]:
    """Name of each kind that is impossible, and why; those that are possible check the request."""
    found = {explorer.name: explorer.obstacle(space, request) for explorer in explorers}
    for explorer in explorers:
        if found[explorer.name] is None:
            explorer.check(space, request)
    return {name: obstacle for name, obstacle in found.items() if obstacle is not None}
