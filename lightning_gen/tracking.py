"""Where a run's numbers and pictures go: ``metrics.csv`` always, Weights & Biases where it can be had; both count in images seen."""

from __future__ import annotations

import csv
import importlib
import io
import os
import pathlib
from collections.abc import Mapping
from typing import Any, Literal

from pytorch_lightning.loggers import Logger, WandbLogger
from pytorch_lightning.loggers.logger import rank_zero_experiment
from pytorch_lightning.utilities import rank_zero_only
from torch import Tensor, nn

from lightning_gen.distributed import say
from lightning_gen.errors import UserError

IMAGES = "progress/images"
"""The key of images seen over all ranks: a column of every row, and the x-axis of W&B."""

METRICS_FILE = "metrics.csv"

SCORE_PREFIXES = ("eval", "full")  # few samples during training; the full protocol at checkpoints

Direction = Literal["lower", "higher"]
"""Which way a score is better."""

_SUMMARIES = {"lower": "min", "higher": "max"}
_ENVIRONMENT_MODES = {"online": "online", "run": "online", "offline": "offline", "dryrun": "offline", "disabled": "disabled"}


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


class WandbTracker(ImagesAxis, WandbLogger):
    """A W&B run over images seen, online or offline in the run folder; the same run goes on when training is resumed.

    Args:
        run_folder: holds an offline run's files, and ``wandb_run_id``.
        config: the whole configuration, as plain data.
        scores: name of each score -> which way it is better; the run's summary keeps the best ``eval/<name>`` and ``full/<name>``.
        mode: ``online`` (offline when the server does not answer) or ``offline``.
        project: the W&B project; ``WANDB_PROJECT`` or ``lightning-gen`` by default.
    """

    def __init__(
        self,
        run_folder: str | os.PathLike[str],
        config: Mapping[str, Any],
        scores: Mapping[str, Direction],
        mode: Literal["online", "offline"],
        project: str | None = None,
    ) -> None:
        self.run_folder = pathlib.Path(run_folder).absolute()
        self.scores = dict(scores)
        self.mode = mode
        super().__init__(
            name=os.environ.get("WANDB_NAME", self.run_folder.name),
            save_dir=str(self.run_folder),
            id=self._known_run_id(),
            project=project or os.environ.get("WANDB_PROJECT", "lightning-gen"),
            config=dict(config),
        )
        self._wandb_init.pop("anonymous", None)  # wandb 0.31 warns that it will be removed, Lightning 2.6 still passes it

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """The W&B run, started on first use on rank 0."""
        if self._experiment is None:
            import wandb

            if wandb.run is None and getattr(self, "_attach_id", None) is None:
                self._experiment = self._start(self.mode)
            run = super().experiment  # joins a run that a sweep or another process started
            self._define_metrics(run)
        return self._experiment

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Log one row of history; Lightning's ``step`` is not used, since rows at an earlier step than W&B's own are dropped on resume."""
        self.experiment.log(self.on_axis(metrics))

    @rank_zero_only
    def log_media(self, name: str, picture: Tensor, images_seen: int) -> None:
        """Log one picture, uint8 ``(3, H, W)``."""
        import wandb

        pixels = picture.cpu().permute(1, 2, 0).numpy()
        self.experiment.log({name: wandb.Image(pixels), IMAGES: images_seen})

    @rank_zero_only
    def close(self) -> None:
        """Finish the W&B run; without this it is finished when the process ends, and another run in this process would join it."""
        if self._experiment is not None:
            self._experiment.finish()
            self._experiment = None

    def _start(self, mode: str) -> Any:
        """A new run in the wanted mode, else offline, else one that keeps nothing: tracking never stops training."""
        import wandb

        self.run_folder.mkdir(parents=True, exist_ok=True)  # otherwise wandb writes into a temporary folder
        try:
            # An offline run's closing summary repeats what the run folder holds; an online run's names its address.
            run = wandb.init(**self._wandb_init, mode=mode, settings=wandb.Settings(silent=mode != "online"))
        except Exception as error:
            if mode == "disabled":
                raise
            instead = {"online": "offline", "offline": "disabled"}[mode]
            say(f"W&B: no {mode} run ({_first_line(error)}); {instead} instead")
            return self._start(instead)
        if mode != "disabled":
            self._run_id_file.write_text(run.id)
        return run

    @property
    def _run_id_file(self) -> pathlib.Path:
        return self.run_folder / "wandb_run_id"

    def _known_run_id(self) -> str | None:
        """The run to continue; a sweep's agent names its own."""
        if "WANDB_RUN_ID" in os.environ or not self._run_id_file.exists():
            return None
        return self._run_id_file.read_text().strip() or None

    def _define_metrics(self, run: Any) -> None:
        run.define_metric(IMAGES, hidden=True)
        run.define_metric("*", step_metric=IMAGES)
        for name, direction in self.scores.items():
            for kind in SCORE_PREFIXES:
                run.define_metric(f"{kind}/{name}", step_metric=IMAGES, summary=_SUMMARIES[direction])


def build_trackers(
    run_folder: str | os.PathLike[str],
    config: Mapping[str, Any],
    *,
    scores: Mapping[str, Direction] | None = None,
    wandb: Literal["auto", "on", "off"] = "auto",
    project: str | None = None,
) -> list[Logger]:
    """The loggers of a run: the CSV file first, then W&B unless it is off or missing. Every rank gets the same kinds of loggers.

    Args:
        run_folder: where everything is written.
        config: the whole configuration, as plain data.
        scores: name of each score that is logged as ``eval/<name>`` or ``full/<name>`` -> which way it is better.
        wandb: ``auto`` follows ``WANDB_MODE``, else is online when logged in, else offline, and silently nothing where wandb is not
            installed; ``on`` is the same but says why there is none; ``off``.
        project: the W&B project.
    """
    trackers: list[Logger] = [CSVTracker(run_folder)]
    mode = wandb_mode(wandb)
    if mode is not None:
        trackers.append(WandbTracker(run_folder, config, scores or {}, mode, project))
    return trackers


def wandb_mode(setting: str) -> Literal["online", "offline"] | None:
    """How to run W&B, None for not at all: never asks, never fails because wandb, a login or the network is missing."""
    if setting not in ("auto", "on", "off"):
        raise UserError(f"wandb: expected auto, on or off, got {setting!r}")
    wanted = _environment_mode()
    if setting == "off" or (setting == "auto" and wanted == "disabled"):
        return None
    problem = "WANDB_MODE=disabled" if wanted == "disabled" else _import_problem()
    if problem:
        if setting == "on" or wanted is not None:
            say(f"W&B: left out ({problem}); metrics.csv is written as always")
        return None
    if wanted == "offline" or rank_zero_only.rank != 0:  # only rank 0 ever starts a run
        return "offline"
    if _logged_in():
        return "online"
    if wanted == "online":
        say("W&B: WANDB_MODE=online, but nobody is logged in (`wandb login`); offline run instead")
    return "offline"


def _environment_mode() -> str | None:
    value = os.environ.get("WANDB_MODE")
    if not value:
        return None
    if value not in _ENVIRONMENT_MODES:
        raise UserError(f"WANDB_MODE: expected online, offline or disabled, got {value!r}")
    return _ENVIRONMENT_MODES[value]


def _import_problem() -> str | None:
    """Why wandb cannot be used; None when it can."""
    try:
        importlib.import_module("wandb.sdk")  # "wandb" alone succeeds on any folder of that name, such as wandb's own
    except Exception as error:  # a broken installation may raise anything
        return f"wandb cannot be imported: {_first_line(error)}"
    return None


def _logged_in() -> bool:
    import wandb

    try:
        # No verification: with a key but no network it would wait for the server, and starting the run finds out anyway.
        return wandb.login(prompt=False, verify=False)
    except Exception as error:
        say(f"W&B: login failed ({_first_line(error)})")
        return False


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
