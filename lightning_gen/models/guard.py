"""Stops a run whose loss has become NaN or infinite: on all ranks together, with the name of the term."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from lightning_gen import distributed
from lightning_gen.errors import NonFiniteLossError

if TYPE_CHECKING:
    from lightning_gen.models.base import GenerativeModel


class FiniteGuard:
    """Collects one flag per loss term on the device and looks at them every few steps, so that no step waits for the device.

    Args:
        every_steps: how often the flags are read where reading them is not free (an accelerator, or several processes).
    """

    def __init__(self, every_steps: int = 16) -> None:
        self.every_steps = every_steps
        self.last_checkpoint: str | None = None
        self._flags: dict[str, Tensor] = {}
        self._steps = 0

    def watch(self, model: GenerativeModel, terms: Mapping[str, Tensor]) -> None:
        """Note which terms are not finite; raise on the next look."""
        for name, value in terms.items():
            flag = ~torch.isfinite(value.detach()).all()
            self._flags[name] = flag if name not in self._flags else self._flags[name] | flag
        self._steps += 1
        free = model.device.type == "cpu" and model.world_size == 1
        if free or self._steps % self.every_steps == 0:
            self.check(model)

    def check(self, model: GenerativeModel) -> None:
        """Raise on every rank when a term was not finite on any of them. Every rank has to call this."""
        if not self._flags:
            return
        names = sorted(self._flags)
        flags = distributed.global_sum(torch.stack([self._flags[name] for name in names]).to(torch.int64))
        self._flags = {}
        bad = [name for name, count in zip(names, flags.tolist(), strict=True) if count]
        if bad:
            raise self._error(f"loss term {', '.join(repr(name) for name in bad)}", model)

    def check_weights(self, model: GenerativeModel) -> None:
        """Raise on every rank when a weight is not finite on any of them: a loss may be finite and its gradient not.

        Every rank has to call this.
        """
        finite = [torch.isfinite(parameter).all() for parameter in model.parameters()]
        if distributed.any_rank(bool(finite) and not torch.stack(finite).all(), model.device):
            raise self._error("a weight", model)

    def _error(self, what: str, model: GenerativeModel) -> NonFiniteLossError:
        return NonFiniteLossError(
            f"{what} became NaN or infinite after {model.images_seen} images"
            f" ({_where(model)}); last good checkpoint: {self.last_checkpoint or 'none yet'}"
        )


def _where(model: GenerativeModel) -> str:
    for name, parameter in model.named_parameters():
        if not torch.isfinite(parameter).all():
            return f"parameter {name!r} is not finite"
    layer = None
    if model.last_batch is not None:
        batch = model.last_batch
        layer = first_nonfinite_layer(model, lambda: model.validation_terms(batch, model.step_noise(batch)))
    return f"first in layer {layer!r}" if layer else "all parameters and layers are finite"


def first_nonfinite_layer(module: nn.Module, run: Callable[[], object]) -> str | None:
    """Name of the first leaf layer whose output is not finite while ``run`` executes; None when there is none."""
    found: list[str] = []

    def look(name: str) -> Callable[..., None]:
        def hook(layer: nn.Module, inputs: object, output: object) -> None:
            if isinstance(output, Tensor) and not torch.isfinite(output).all():
                found.append(name)

        return hook

    leaves = [(name, layer) for name, layer in module.named_modules() if name and not any(layer.children())]
    handles = [layer.register_forward_hook(look(name)) for name, layer in leaves]
    try:
        with torch.no_grad():
            run()
    finally:
        for handle in handles:
            handle.remove()
    return found[0] if found else None
