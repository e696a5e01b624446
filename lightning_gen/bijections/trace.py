"""What every layer makes of a batch: its range, its log-determinant, and where the first value is NaN or infinite.

Of any network; invertible layers tell more. It costs a look at every layer, so it is for runs that failed.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lightning_gen.bijections.base import Bijection, Chain
from lightning_gen.bijections.transforms import Transform


@dataclass
class LayerTrace:
    """One layer, over all its calls.

    Args:
        name: its path in the model.
        kind: its class.
        finite: whether all that it returned was finite.
        given: the largest absolute value among its inputs, NaN aside.
        low, high: the range of its output, NaN aside.
        log_det: of a bijection, the largest absolute log-determinant per dimension, nats.
        log_scale: of a bijection, the largest absolute log-scale of a single number that it is known of, nats.
        finite_gradient: whether the gradients at its inputs, outputs and weights were finite; None where none was computed.
    """

    name: str
    kind: str
    finite: bool = True
    given: float = math.nan
    low: float = math.nan
    high: float = math.nan
    log_det: float | None = None
    log_scale: float | None = None
    finite_gradient: bool | None = None

    @property
    def returned(self) -> float:
        """The largest absolute value of its output, NaN aside."""
        return max(abs(self.low), abs(self.high))


class Trace:
    """Watches the layers of a model while it runs.

    The layer to blame is the innermost one that returns a bad value without having been given one. What a caller drops (behind a mask, in a
    tanh) is blamed only where nothing else is. For gradients it is the same, backwards.

    Args:
        model: whose layers are watched.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.layers: dict[str, LayerTrace] = {}
        self.fed: str | None = None
        """The first layer that was given a bad value."""
        self._modules = {name: layer for name, layer in model.named_modules() if name}
        self._open: list[tuple[int, bool]] = []
        self._suspects: list[str] = []
        self._dropped: list[str] = []
        self._returned: list[str] = []
        self._bad_gradients: dict[str, set[str]] = {"input": set(), "output": set(), "weights": set()}

    @property
    def culprit(self) -> str | None:
        """The layer in which the first bad value came up; None where there is none, or where it was made outside of all layers."""
        return next(iter([*self._suspects, *self._dropped]), None)

    @property
    def gradient_culprit(self) -> str | None:
        """The same for the gradient: of the innermost layers with good gradients behind and bad ones before them, the last one used."""
        bad = self._bad_gradients
        names = [name for name in self._returned if name in bad["input"] | bad["weights"] and name not in bad["output"]]
        innermost = [name for name in names if not any(other.startswith(f"{name}.") for other in names)]
        return innermost[-1] if innermost else None

    @property
    def extreme(self) -> str | None:
        """The bijection (where there are none: the layer) with the largest values in its output, for a loss that overflows behind all."""
        rows = [row for row in self.rows() if not math.isnan(row.returned)]
        return max(rows, key=lambda row: row.returned).name if rows else None

    @property
    def finite_gradient(self) -> bool:
        """Whether all gradients are finite that were computed."""
        return not any(self._bad_gradients.values())

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Watch until the block ends."""
        handles = []
        for name, layer in self._modules.items():
            handles.append(layer.register_forward_pre_hook(self._entering(name), with_kwargs=True))
            handles.append(layer.register_forward_hook(self._leaving(name)))
        try:
            with torch.compiler.set_stance("force_eager"):  # a compiled network would not ask its layers
                yield
        finally:
            for handle in handles:
                handle.remove()

    def run(self, terms_of: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
        """Watch the computation of a model's loss terms and, where gradients are on, their gradient; returns the terms."""
        with self.watching():
            terms = terms_of()
        losses = [term.sum() for name, term in terms.items() if term.requires_grad and ("loss" not in terms or name == "loss")]
        if losses:
            self.differentiate(torch.stack(losses).sum())
        return terms

    def _entering(self, name: str) -> Callable[..., None]:
        def hook(layer: nn.Module, inputs: Any, options: Any) -> None:
            given = float_tensors([inputs, options])
            finite = all_finite(given)
            seen = self.layers.setdefault(name, LayerTrace(name, type(layer).__name__))
            for tensor in given:
                seen.given = _larger(seen.given, largest(tensor))
            self._open.append((len(self._suspects), finite))
            if not finite and self.fed is None:
                self.fed = name
            self._watch_gradients(name, "input", given)

        return hook

    def _leaving(self, name: str) -> Callable[..., None]:
        def hook(layer: nn.Module, inputs: Any, output: Any) -> None:
            first, finite_input = self._open.pop()
            returned = float_tensors(output)
            self._returned.append(name)
            if not returned:
                return
            self._measure(name, layer, output, returned)
            self._watch_gradients(name, "output", returned)
            if all_finite(returned):
                self._dropped += self._suspects[first:]
                del self._suspects[first:]
            elif finite_input:
                self._suspects.append(name)

        return hook

    def _measure(self, name: str, layer: nn.Module, output: Any, returned: list[Tensor]) -> None:
        seen = self.layers[name]
        seen.finite = seen.finite and all_finite(returned)
        values = returned[0].detach().flatten()
        values = values[~values.isnan()]
        if values.numel():
            seen.low, seen.high = min(values.min().item(), _or(seen.low, math.inf)), max(values.max().item(), _or(seen.high, -math.inf))
        if isinstance(layer, Bijection):
            z, log_det = output
            seen.log_det = _larger(seen.log_det, largest(log_det) / max(1, z[0].numel()))
            if isinstance(own := getattr(layer, "log_scale", None), Tensor):
                seen.log_scale = _larger(seen.log_scale, largest(own))
        elif isinstance(layer, Transform) and (owner := self.bijection_of(name)) is not None:
            entry = self.layers.setdefault(owner, LayerTrace(owner, type(self._modules[owner]).__name__))
            entry.log_scale = _larger(entry.log_scale, largest(output[1]))

    def _watch_gradients(self, name: str, where: str, tensors: list[Tensor]) -> None:
        def note(gradient: Tensor) -> None:
            if not gradient.isfinite().all():
                self._bad_gradients[where].add(name)

        for tensor in tensors:
            if tensor.requires_grad:
                tensor.register_hook(note)

    def differentiate(self, loss: Tensor) -> None:
        """Follow the gradient of a loss of the watched run back to the weights, whose own gradients stay as they were."""
        weights = {name: weight for name, weight in self.model.named_parameters() if weight.requires_grad}
        gradients = torch.autograd.grad(loss, [*weights.values()], allow_unused=True)
        for name, gradient in zip(weights, gradients, strict=True):
            if gradient is not None and not gradient.isfinite().all():
                parts = name.split(".")
                self._bad_gradients["weights"].update(".".join(parts[:end]) for end in range(1, len(parts)))
        bad = set.union(*self._bad_gradients.values())
        for name, layer in self.layers.items():
            layer.finite_gradient = name not in bad

    def bijection_of(self, name: str) -> str | None:
        """The innermost bijection that a layer is or belongs to, sequences of bijections aside."""
        while name:
            layer = self._modules.get(name)
            if isinstance(layer, Bijection) and not isinstance(layer, Chain):
                return name
            name = name.rpartition(".")[0]
        return None

    def rows(self) -> list[LayerTrace]:
        """What a table shows: the bijections where there are any, otherwise the layers that consist of no others."""
        bijections = [layer for name, layer in self.layers.items() if self.bijection_of(name) == name]
        return bijections or [layer for name, layer in self.layers.items() if not any(self._modules[name].children())]

    def describe(self, name: str) -> str:
        """A layer in words; one inside a bijection with the largest scales of that."""
        owner = self.bijection_of(name)
        if owner is None:
            return f"layer {name!r}"
        seen = self.layers[owner]
        inside = f" at its {name.removeprefix(owner + '.')!r}" if name != owner else ""
        scales = {"|log-det| per dimension": seen.log_det, "|log-scale|": seen.log_scale, "given values": self.layers[name].given}
        told = [f"{what} up to {value:.3g}" for what, value in scales.items() if value is not None and not math.isnan(value)]
        return f"bijection {owner!r} ({seen.kind}){inside}" + (f" with {', '.join(told)}" if told else "")

    def describe_extreme(self) -> str:
        """Where the largest values come from, in words."""
        if self.extreme is None:
            return "no layer was used"
        return f"the largest values, up to {self.layers[self.extreme].returned:.3g}, come from {self.describe(self.extreme)}"


def float_tensors(value: Any) -> list[Tensor]:
    """All tensors of floats in nested tuples, lists and dictionaries."""
    if isinstance(value, Tensor):
        return [value] if value.is_floating_point() else []
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return [tensor for item in items for tensor in float_tensors(item)]


def all_finite(tensors: list[Tensor]) -> bool:
    """Whether no tensor holds NaN or infinity."""
    return all(bool(tensor.isfinite().all()) for tensor in tensors)


def largest(x: Tensor) -> float:
    """The largest absolute value, NaN aside; NaN where there is nothing else."""
    values = x.detach().abs().flatten()
    values = values[~values.isnan()]
    return values.max().item() if values.numel() else math.nan


def _or(value: float, otherwise: float) -> float:
    return otherwise if math.isnan(value) else value


def _larger(known: float | None, value: float) -> float:
    return value if known is None or math.isnan(known) else max(known, _or(value, known))
