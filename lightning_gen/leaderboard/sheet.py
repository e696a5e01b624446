"""What a sheet of samples says of its noise, within its PNG file: whether two sheets show what two models make of the same numbers."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from lightning_gen.errors import UserError
from lightning_gen.leaderboard.schema import decode, parse, to_json

KEY = "lightning-gen noise"
"""The keyword of the text in the file."""

LONGEST = 10_000
"""Characters of a text that may be ours."""


@dataclass(frozen=True, kw_only=True)
class SheetNoise:
    """The numbers that a sheet was drawn from; sample i of equal seeds, draws and labels is drawn from the same ones.

    Args:
        seed: of the noise.
        draws: what the model asked for, of each sample: ``normal z (100)``.
        columns: of the grid; None where the sheet is no grid.
        labels: of each sample; None where the model takes none.
    """

    seed: int
    draws: list[str]
    columns: int | None
    labels: list[int] | None

    def as_text(self) -> str:
        """For the file."""
        return json.dumps(to_json(self))


def noise_of_sheet(path: Path) -> SheetNoise | None:
    """What the file says; None where it is no PNG, says nothing, or says what none of ours would."""
    from PIL import Image  # through torchvision; needed for no other view of the leaderboard

    try:
        with Image.open(path, formats=["PNG"]) as picture:
            text = picture.info.get(KEY)
        if not isinstance(text, str) or len(text) > LONGEST:
            return None
        return decode(SheetNoise, parse(text), KEY)
    except (OSError, ValueError, SyntaxError, RecursionError, Image.DecompressionBombError, UserError):
        return None
