"""The file ``metrics.csv`` of a run."""

from __future__ import annotations

import csv
import io
import os
import pathlib
from collections.abc import Mapping
from typing import Any

from pytorch_lightning.loggers import Logger
from pytorch_lightning.utilities import rank_zero_only

from lightning_gen.tracking.axis import ImagesAxis

METRICS_FILE = "metrics.csv"


class CSVTracker(ImagesAxis, Logger):
    """Appends every row to ``<run folder>/metrics.csv`` as soon as it is logged; a kill loses nothing that was logged.

    A resumed run appends too (Lightning's own CSVLogger deletes the earlier session's file), so what an interrupted session logged after
    its last checkpoint appears twice: the later row counts.

    Args:
        run_folder: where the file lies.
    """

    def __init__(self, run_folder: str | os.PathLike[str]) -> None:
        super().__init__()
        self.path = pathlib.Path(run_folder) / METRICS_FILE
        self._columns: list[str] | None = None

    @property
    def save_dir(self) -> str:
        """The run folder."""
        return str(self.path.parent)

    @property
    def name(self) -> str:
        """Empty: the run folder is the whole address."""
        return ""

    @property
    def version(self) -> str:
        """Empty, as the name."""
        return ""

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """Nothing: the run folder holds the configuration."""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Append one row; ``step`` is Lightning's count of batches."""
        row = self.on_axis(metrics if step is None else {"step": step, **metrics})
        if self._columns is None:
            self._columns = self._continue_file()
        new = [key for key in row if key not in self._columns]
        if new:
            self._columns = [*self._columns, *new]
            self._widen(self._columns)
        # Opened for each row: nothing is held in a buffer, and a run folder that was moved or rewritten is no trouble.
        with self.path.open("a", newline="") as file:
            _writer(file, self._columns).writerow(row)

    def _continue_file(self) -> list[str]:
        """The columns of an earlier session's file, after removing a row that was cut off in the middle."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        content = self.path.read_bytes() if self.path.exists() else b""
        if content and not content.endswith(b"\n"):
            self._replace(content[: content.rfind(b"\n") + 1].decode())
        return next(csv.reader(io.StringIO(content.decode())), []) if b"\n" in content else []

    def _widen(self, columns: list[str]) -> None:
        """Give every row of the file the new columns."""
        text = self.path.read_text() if self.path.exists() else ""
        wider = io.StringIO()
        writer = _writer(wider, columns)
        writer.writeheader()
        writer.writerows(csv.DictReader(io.StringIO(text)))
        self._replace(wider.getvalue())

    def _replace(self, text: str) -> None:
        partial = self.path.with_name(f".{self.path.name}.partial")
        partial.write_text(text)
        partial.replace(self.path)


def _writer(file: Any, columns: list[str]) -> csv.DictWriter:
    return csv.DictWriter(file, columns, restval="", lineterminator="\n")
