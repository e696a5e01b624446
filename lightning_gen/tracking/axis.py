"""The axis of everything that is logged: images seen over all ranks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

IMAGES = "progress/images"
"""The key of images seen over all ranks: a column of every row, and the x-axis of W&B."""


class ImagesAxis:
    """Adds images seen to every row that a logger writes."""

    model: nn.Module | None = None

    def log_graph(self, model: nn.Module, input_array: Tensor | None = None) -> None:
        """Remember the model: Lightning hands it to every logger here, before anything is logged."""
        self.model = model

    def on_axis(self, metrics: Mapping[str, Any]) -> dict[str, Any]:
        """``metrics`` as plain numbers, with images seen in front unless they bring their own; ValueError when nobody knows them."""
        if self.model is None and IMAGES not in metrics:
            raise ValueError(f"{IMAGES} is unknown before training: log it with the metrics")
        row = {} if self.model is None else {IMAGES: self.model.images_seen}
        return row | {key: value.item() if isinstance(value, Tensor) else value for key, value in metrics.items()}
