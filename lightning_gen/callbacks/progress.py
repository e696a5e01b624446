"""How far a training is: one bar over its whole budget in images on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import collections
import sys
import time
from collections.abc import Callable
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import ProgressBar
from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn
from rich.progress import Progress as RichBar
from rich.table import Column

from lightning_gen.errors import UserError
from lightning_gen.leaderboard.text import clock
from lightning_gen.models.base import GenerativeModel

REDRAW_SECONDS = 0.25
"""Shortest time between two looks at the loss terms: reading them waits for the device."""

LINE_SECONDS = 10.0
"""Time between two lines where there is no terminal."""

RECENT_SECONDS = 10.0
"""Over how long the speed that is shown is measured."""

Terms = Callable[[], dict[str, float]]
"""The loss terms of the last step; to ask for them waits for the device."""


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


class Display:
    """Images seen of all, images/s, the time left and the loss terms, on stderr.

    Args:
        total_images: of the whole work, earlier sessions included.
    """

    def __init__(self, total_images: int) -> None:
        self.total_images = total_images
        self.bar: RichBar | None = None
        self._task = TaskID(0)
        self._speed = Speed()
        self._next_look = 0.0

    def start(self, images_seen: int = 0) -> None:
        """Begin where the work is, which is not at 0 when it was resumed."""
        self._speed = Speed()
        console = Console(stderr=True)
        if console.is_terminal:
            self.bar = _new_bar(console)
            self._task = self.bar.add_task("", total=self.total_images, completed=images_seen, text="")
            self.bar.start()
        self._next_look = time.monotonic() + (0 if self.bar else LINE_SECONDS)

    def advance(self, images_seen: int, terms: Terms) -> None:
        """Redraw, seldom enough not to slow training down."""
        now = time.monotonic()
        if self._speed.average == 0.0 or now >= self._next_look:
            self._speed.mark(now, images_seen)
        if now >= self._next_look:
            self._next_look = now + (REDRAW_SECONDS if self.bar else LINE_SECONDS)
            self._show(images_seen, terms())

    def finish(self, images_seen: int, terms: Terms) -> None:
        """Show the final state."""
        self._speed.mark(time.monotonic(), images_seen)
        self._show(images_seen, terms())
        self.stop()

    def stop(self) -> None:
        """Give the terminal back."""
        if self.bar is not None:
            self.bar.stop()
            self.bar = None

    def _show(self, images_seen: int, terms: dict[str, float]) -> None:
        text = self._text(images_seen, terms)
        if self.bar is None:
            print(f"{images_seen:,} of {self.total_images:,} images  {text}", file=sys.stderr, flush=True)
        else:
            self.bar.update(self._task, completed=images_seen, text=text)
            self.bar.refresh()

    def _text(self, images_seen: int, terms: dict[str, float]) -> str:
        speed = self._speed.recent
        left = max(0, self.total_images - images_seen)
        parts = [f"{speed:,.0f} images/s" if speed else "-- images/s"]
        parts += [f"{clock(left / self._speed.average)} left"] if left and self._speed.average else []
        return "  ".join(parts + [f"{name} {value:.4g}" for name, value in terms.items()])


class Progress(ProgressBar):
    """The :class:`Display` of a training with its loss terms (``train/...``), on rank 0.

    Args:
        total_images: the run's whole budget in images, those of earlier sessions included.
    """

    def __init__(self, total_images: int) -> None:
        super().__init__()
        if total_images < 1:
            raise UserError(f"total_images: expected at least 1, got {total_images}")
        self.display = Display(total_images)
        self._enabled = True

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
        """Begin where the run is."""
        if self._enabled:
            self.display.start(pl_module.images_seen)

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: GenerativeModel, *args: Any) -> None:
        """Redraw now and then."""
        if self._enabled:
            self.display.advance(pl_module.images_seen, lambda: loss_terms(trainer))

    def on_train_end(self, trainer: pl.Trainer, pl_module: GenerativeModel) -> None:
        """Show the final state."""
        if self._enabled:
            self.display.finish(pl_module.images_seen, lambda: loss_terms(trainer))

    def on_exception(self, trainer: pl.Trainer, pl_module: GenerativeModel, exception: BaseException) -> None:
        """Give the terminal back before the error is printed."""
        self.display.stop()

    def teardown(self, trainer: pl.Trainer, pl_module: GenerativeModel, stage: str) -> None:
        """Give the terminal back."""
        self.display.stop()


def _new_bar(console: Console) -> RichBar:
    """A bar in one line, whose loss terms are cut where the terminal ends."""
    count = TextColumn("{task.completed:,.0f} / {task.total:,.0f}")
    text = TextColumn("{task.fields[text]}", markup=False, table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis"))
    # Refreshed by hand: a refreshing thread would redraw what has not changed.
    return RichBar(BarColumn(bar_width=16), count, text, console=console, auto_refresh=False, expand=True)


def loss_terms(trainer: pl.Trainer) -> dict[str, float]:
    """The current ``train/...`` values by their short names; reading them waits for the device."""
    return {key.removeprefix("train/"): float(value) for key, value in trainer.callback_metrics.items() if key.startswith("train/")}
