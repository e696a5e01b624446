"""Features by any callable of a user's."""

from __future__ import annotations

import copy
import hashlib
import inspect
import pickle
from collections.abc import Callable
from types import CodeType
from typing import Any

import torch
from torch import Tensor, nn

from lightning_gen.errors import UserError
from lightning_gen.metrics.extractors.base import Extraction, Extractor
from lightning_gen.metrics.extractors.weight_files import state_sha256

Function = Callable[[Tensor], Any]
"""uint8 ``(B, C, H, W)`` to features ``(B, d)``, or to features and logits ``(B, K)``."""


class CallableExtractor(Extractor):
    """Any callable: uint8 ``(B, C, H, W)`` to features ``(B, d)``, or to a pair of features and logits.

    A module is copied, put in eval mode and known by the hash of its parameters and buffers; a function is known by the hash
    of its source, or of its bytecode where there is no source. What a function reads from elsewhere is not seen by the hash.

    Args:
        function: the callable; may return any floating type.
        name: as it appears in scores; by default the callable's own name.
        device: where the images are when the callable gets them.
    """

    def __init__(self, function: Function, name: str | None = None, device: torch.device | str = "cpu") -> None:
        self.name = name or str(getattr(function, "__name__", type(function).__name__))
        if self.name == "<lambda>":
            raise UserError("extractor: a lambda has no name for its scores; expected name=...")
        self.device = torch.device(device)
        # A copy, so that neither training nor anybody's mode changes it after it was hashed.
        self.function = frozen_copy(function, self.device) if isinstance(function, nn.Module) else function
        self.sha256 = callable_sha256(function, self.name)

    @property
    def protocol(self) -> dict[str, Any]:
        kind = "weights_sha256" if isinstance(self.function, nn.Module) else "source_sha256"
        return {"extractor": self.name, kind: self.sha256, "preprocessing": self.name}

    def extract(self, images: Tensor) -> Extraction:
        answer = self.function(images)
        parts = answer if isinstance(answer, tuple | list) else (answer, None)
        if len(parts) != 2 or not isinstance(parts[0], Tensor) or not isinstance(parts[1], Tensor | None):
            raise UserError(f"extractor {self.name!r}: expected features (B, d), or features and logits, got {type(answer).__name__}")
        features, logits = parts
        return Extraction(features.to(torch.float32), None if logits is None else logits.to(torch.float32))


def frozen_copy(module: nn.Module, device: torch.device) -> nn.Module:
    """A copy of a module in eval mode on a device."""
    return copy.deepcopy(module).to(device).eval().requires_grad_(False)


def callable_sha256(function: Function, name: str) -> str:
    """The hash of a module's class and state, of a function's source, or of another object's class and content."""
    if isinstance(function, nn.Module):
        return hashlib.sha256(f"{state_sha256(function)} {source_of(type(function))}".encode()).hexdigest()
    if inspect.isroutine(function):
        return hashlib.sha256(source_of(function).encode()).hexdigest()
    try:
        content = pickle.dumps(function)
    except Exception as error:  # a user's object may raise anything here
        raise UserError(f"extractor {name!r}: {type(function).__name__} cannot be hashed; expected a module or a function") from error
    return hashlib.sha256(source_of(type(function)).encode() + content).hexdigest()


def source_of(thing: Any) -> str:
    """The source of a function or class, or what stands for it where there is none."""
    try:
        return inspect.getsource(thing)
    except (OSError, TypeError):
        code = getattr(thing, "__code__", None)
        return bytecode(code) if code else f"{thing.__module__}.{thing.__qualname__}"


def bytecode(code: CodeType) -> str:
    """A function's instructions, names and constants; nested functions likewise, since their own form names an address."""
    constants = [bytecode(value) if isinstance(value, CodeType) else repr(value) for value in code.co_consts]
    return f"{code.co_code.hex()} {code.co_names} {constants}"
