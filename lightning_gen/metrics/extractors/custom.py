"""Features by any callable of a user's."""

from __future__ import annotations

import copy
import secrets
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lightning_gen.distributed import say_once
from lightning_gen.errors import UserError
from lightning_gen.metrics.extractors.base import Extraction, Extractor
from lightning_gen.metrics.extractors.identity import Unidentified, identity_of

Function = Callable[[Tensor], Any]
"""uint8 ``(B, C, H, W)`` to features ``(B, d)``, or to features and logits ``(B, K)``."""


class CallableExtractor(Extractor):
    """Any callable: uint8 ``(B, C, H, W)`` to features ``(B, d)``, or to a pair of features and logits.

    A module is copied, put in eval mode and known by the hash of its class, attributes, parameters and buffers; a function by that of its
    code and of all that it reads from its closure and its module, see :func:`~lightning_gen.metrics.extractors.identity.identity_of`. What
    reads something that cannot be hashed has no identity: nothing of it is kept, and its scores are compared with no others.

    Args:
        function: the callable; may return any floating type, as tensors or NumPy arrays.
        name: as it appears in scores; by default the callable's own name.
        device: where the images are when the callable gets them.
    """

    has_identity: bool = True
    """Whether :attr:`sha256` covers all that the features depend on."""

    def __init__(self, function: Function, name: str | None = None, device: torch.device | str = "cpu") -> None:
        self.name = name or str(getattr(function, "__name__", type(function).__name__))
        if self.name == "<lambda>":
            raise UserError("extractor: a lambda has no name for its scores; expected CallableExtractor(f, name=...)")
        self.device = torch.device(device)
        # A copy, so that neither training nor anybody's mode changes it after it was hashed.
        self.function = frozen_copy(function, self.device) if isinstance(function, nn.Module) else function
        self.token = secrets.token_hex(8)
        self.sha256: str | None = None
        self.identify()

    def identify(self) -> None:
        """Find the hash anew, since a function's globals may be others by now."""
        try:
            self.sha256 = identity_of(self.function)
        except Unidentified as error:
            self.sha256 = None
            say_once(f"extractor {self.name!r}: not identified ({error}); nothing of it is kept, its scores are compared with no others")
        self.has_identity = self.sha256 is not None

    def prepare(self, data_shape: tuple[int, ...]) -> None:
        super().prepare(data_shape)
        if not isinstance(self.function, nn.Module):
            self.identify()  # after the first call, by which some load their weights

    @property
    def protocol(self) -> dict[str, Any]:
        kind = "weights_sha256" if isinstance(self.function, nn.Module) else "source_sha256"
        identity = {"unidentified": self.token} if self.sha256 is None else {kind: self.sha256}
        return {"extractor": self.name, **identity, "preprocessing": self.name}

    def extract(self, images: Tensor) -> Extraction:
        answer = self.function(images)
        parts = answer if isinstance(answer, tuple | list) else (answer, None)
        if len(parts) != 2 or parts[0] is None:
            raise self._refusal(answer)
        features, logits = (None if part is None else self._as_tensor(part, answer) for part in parts)
        assert features is not None
        return Extraction(features, logits)

    def _as_tensor(self, values: Any, answer: Any) -> Tensor:
        if isinstance(values, np.ndarray) and values.dtype.kind in "fiub":
            # NumPy knows more types than torch: other byte orders, unsigned integers of any size.
            values = torch.from_numpy(np.array(values, np.float32)).to(self.device)
        if not isinstance(values, Tensor):
            raise self._refusal(answer)
        return values.to(torch.float32)

    def _refusal(self, answer: Any) -> UserError:
        parts = answer if isinstance(answer, tuple | list) else (answer,)
        types = [f"{type(part).__name__}{f' of {part.dtype}' if isinstance(part, np.ndarray) else ''}" for part in parts]
        expected = "expected features (B, d), or features and logits, as tensors or arrays of numbers"
        return UserError(f"extractor {self.name!r}: {expected}, got {', '.join(types)}")


def frozen_copy(module: nn.Module, device: torch.device) -> nn.Module:
    """A copy of a module in eval mode on a device."""
    return copy.deepcopy(module).to(device).eval()
