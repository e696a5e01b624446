"""How far a run is: one bar over its whole budget in images on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import collections
import sys
import time
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import ProgressBar
from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn
from rich.progress import Progress as RichBar
from rich.table import Column

from lightning_gen.errors import UserError
from lightning_gen.models.base import GenerativeModel

REDRAW_SECONDS = 0.25
"""Shortest time between two looks at the loss terms: reading them waits for the device."""

LINE_SECONDS = 10.0
"""Time between two lines where there is no terminal."""

RECENT_SECONDS = 10.0
"""Over how long the speed that is shown is measured."""


class Speed:
    """Images per second, recently and since this session's first batch.

    Resumed images are not this session's work, and the first batch compiles and warms up: neither counts.
    """

    def __init__(self) -> None:
        self._marks: collections.deque[tuple[float, int]] = collections.deque()
        self._start: tuple[float, int] | None = None

    def mark(self, seconds: float, images: int) -> None:
        """Note that ``images`` had been seen at the time ``seconds``."""
        self._start = self._start or (seconds, images)
        self._marks.append((seconds, images))
        while len(self._marks) > 2 and self._marks[1][0] <= seconds - RECENT_SECONDS:
            self._marks.popleft()

    @property
    def recent(self) -> float:
        """Images per second over about the last ten seconds; 0 while unknown."""
        return _rate(self._marks[0], self._marks[-1]) if self._marks else 0.0

    @property
    def average(self) -> float:
        """Images per second of the session, with its evaluations and pictures; 0 while unknown."""
        return _rate(self._start, self._marks[-1]) if self._start else 0.0


def _rate(start: tuple[float, int], end: tuple[float, int]) -> float:
    return (end[1] - start[1]) / (end[0] - start[0]) if end[0] > start[0] else 0.0


class Progress(ProgressBar):
    """Shows images seen of the budget, images/s, the time left and the loss terms (``train/...``), on rank 0 and on stderr.

    Args:
        total_images: the run's whole budget in images, those of earlier sessions included.
    """

    def __init__(self, total_images: int) -> None:
        super().__init__()
        if total_images < 1:
            raise UserError(f"total_images: expected at least 1, got {total_images}")
        self.total_images = total_images
        self._enabled = True
        self._bar: RichBar | None = None
        self._task = TaskID(0)
        self._speed = Speed()
        self._next_look = 0.0

    def disable(self) -> None:
        """Show nothing; Lightning calls this on every rank but the first."""
        self._enabled = False

    def enable(self) -> None:
        """Show again."""
        self._enabled = True

    def print(self, *args: Any, **kwargs: Any) -> None:
        """Print above the bar."""
        if self._enabled:
            print(*args, **{"file": sys.stderr, **kwargs})  # while a bar is shown, rich has replaced sys.stderr

    def on_train_start(self, trainer: pl.Trainer, pl_module: GenerativeModel) -> None:
        """Begin where the run is, which is not at 0 when it was resumed."""
        self._speed = Speed()
        if not self._enabled:
            return
        console = Console(stderr=True)
        if console.is_terminal:
            self._bar = _new_bar(console)
            self._task = self._bar.add_task("", total=self.total_images, completed=pl_module.images_seen, text="")
            self._bar.start()
        self._next_look = time.monotonic() + (0 if self._bar else LINE_SECONDS)

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: GenerativeModel, *args: Any) -> None:
        """Redraw, seldom enough not to slow training down."""
        if not self._enabled:
            return
        now = time.monotonic()
        if self._speed.average == 0.0 or now >= self._next_look:
            self._speed.mark(now, pl_module.images_seen)
        if now >= self._next_look:
            self._next_look = now + (REDRAW_SECONDS if self._bar else LINE_SECONDS)
            self._show(trainer, pl_module)

    def on_train_end(self, trainer: pl.Trainer, pl_module: GenerativeModel) -> None:
        """Show the final state."""
        if self._enabled:
            self._speed.mark(time.monotonic(), pl_module.images_seen)
            self._show(trainer, pl_module)
            self._stop()

    def on_exception(self, trainer: pl.Trainer, pl_module: GenerativeModel, exception: BaseException) -> None:
        """Give the terminal back before the error is printed."""
        self._stop()

    def teardown(self, trainer: pl.Trainer, pl_module: GenerativeModel, stage: str) -> None:
        """Give the terminal back."""
        self._stop()

    def _stop(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _show(self, trainer: pl.Trainer, model: GenerativeModel) -> None:
        text = self._text(model.images_seen, loss_terms(trainer))
        if self._bar is None:
            print(f"{model.images_seen:,} of {self.total_images:,} images  {text}", file=sys.stderr, flush=True)
        else:
            self._bar.update(self._task, completed=model.images_seen, text=text)
            self._bar.refresh()

    def _text(self, images_seen: int, terms: dict[str, float]) -> str:
        speed = self._speed.recent
        left = max(0, self.total_images - images_seen)
        parts = [f"{speed:,.0f} images/s" if speed else "-- images/s"]
        parts += [f"{clock(left / self._speed.average)} left"] if left and self._speed.average else []
        return "  ".join(parts + [f"{name} {value:.4g}" for name, value in terms.items()])


def _new_bar(console: Console) -> RichBar:
    """A bar in one line, whose loss terms are cut where the terminal ends."""
    count = TextColumn("{task.completed:,.0f} / {task.total:,.0f}")
    text = TextColumn("{task.fields[text]}", markup=False, table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis"))
    # Refreshed by hand: a refreshing thread would redraw what has not changed.
    return RichBar(BarColumn(bar_width=16), count, text, console=console, auto_refresh=False, expand=True)


def loss_terms(trainer: pl.Trainer) -> dict[str, float]:
    """The current ``train/...`` values by their short names; reading them waits for the device."""
    return {key.removeprefix("train/"): float(value) for key, value in trainer.callback_metrics.items() if key.startswith("train/")}


def clock(seconds: float) -> str:
    """``2d 3:04:05`` or shorter."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    if days:
        return f"{days}d {hour}:{minute:02}:{second:02}"
    return f"{hour}:{minute:02}:{second:02}" if hour else f"{minute}:{second:02}"
