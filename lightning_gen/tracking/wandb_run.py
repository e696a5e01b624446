"""A run of Weights & Biases, which belongs to a run folder."""

from __future__ import annotations

import os
import pathlib
import shutil
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Literal

from pytorch_lightning.loggers import WandbLogger
from pytorch_lightning.loggers.logger import DummyExperiment, rank_zero_experiment
from pytorch_lightning.utilities import rank_zero_only
from torch import Tensor

from lightning_gen.distributed import say
from lightning_gen.tracking.axis import IMAGES, ImagesAxis
from lightning_gen.tracking.harmless import first_line, harmless

SCORE_PREFIXES = ("eval", "full")  # few samples during training; the full protocol at checkpoints

Direction = Literal["lower", "higher"]
"""Which way a score is better."""

Mode = Literal["online", "offline", "disabled"]
"""How a run is recorded; a disabled one keeps nothing."""

ID_FILE = "wandb_run_id"
"""The file of a run folder that names its W&B run."""

URL_FILE = "wandb_url"
"""The file of a run folder with the address of its W&B run, once that was online."""

LONGEST_GROUP, LONGEST_TAG = 128, 64
"""Characters that W&B takes."""

_SUMMARIES = {"lower": "min", "higher": "max"}
_INSTEAD: dict[Mode, Mode] = {"online": "offline", "offline": "disabled"}


class WandbTracker(ImagesAxis, WandbLogger):
    """A W&B run over images seen, online or offline in the run folder; the same run goes on when training is resumed.

    What fails is told in one line and left out. Runs are grouped by the folder of their run folder, which has the configuration's name;
    ``WANDB_RUN_GROUP``, ``WANDB_TAGS`` and ``WANDB_NAME`` come before what we choose.

    Args:
        run_folder: holds an offline run's files, ``wandb_run_id`` and ``wandb_url``.
        config: the whole configuration, as plain data.
        scores: name of each score -> which way it is better; the run's summary keeps the best ``eval/<name>`` and ``full/<name>``.
        mode: ``online`` (offline when the server does not answer) or ``offline``; ``disabled`` once neither was possible.
        project: the W&B project; ``WANDB_PROJECT`` or ``lightning-gen`` by default.
        tags: of a new run; one that is continued keeps its group, and the name and the tags that it has by now.
    """

    _latest: ClassVar[Any] = None
    """The run that this class started last in this process."""

    def __init__(
        self,
        run_folder: str | os.PathLike[str],
        config: Mapping[str, Any],
        scores: Mapping[str, Direction],
        mode: Literal["online", "offline"],
        project: str | None = None,
        tags: Sequence[str] = (),
    ) -> None:
        self.run_folder = pathlib.Path(run_folder).absolute()
        self.scores = dict(scores)
        self.mode: Mode = mode
        self.told: set[tuple[str, type]] = set()
        known = self._known_run_id()
        super().__init__(
            name=os.environ.get("WANDB_NAME", self.run_folder.name if known is None else None),
            save_dir=str(self.run_folder),
            id=known,
            project=project or os.environ.get("WANDB_PROJECT", "lightning-gen"),
            config=dict(config),
            **self._labels(tags, new=known is None),
        )
        self._wandb_init.pop("anonymous", None)  # wandb 0.31 warns that it will be removed, Lightning 2.6 still passes it

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """The W&B run, started on first use on rank 0."""
        if self._experiment is None:
            import wandb

            unclosed = wandb.run if wandb.run is not None and wandb.run is WandbTracker._latest else None
            if wandb.run is not None and unclosed is None:
                self.mode = "disabled" if wandb.run.disabled else "offline" if wandb.run.offline else "online"
            elif getattr(self, "_attach_id", None) is None:
                if unclosed is not None:  # of another training in this process: a cell that failed, or a trainer that was used by hand
                    unclosed.finish()
                self._experiment = self._start(self.mode)
            run = super().experiment  # joins a run that somebody else started
            self._define_metrics(run)
        return self._experiment

    @rank_zero_only
    @harmless("hyperparameters are not recorded")
    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """Add to the configuration what a model of somebody else hands to Lightning."""
        super().log_hyperparams(*args, **kwargs)

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Log one row of history; Lightning's ``step`` is not used, since rows at an earlier step than W&B's own are dropped on resume."""
        self._log(self.on_axis(metrics))

    @rank_zero_only
    @harmless("a picture is not recorded")
    def log_media(self, name: str, picture: Tensor, images_seen: int) -> None:
        """Log one picture, uint8 ``(3, H, W)``."""
        import wandb

        pixels = picture.cpu().permute(1, 2, 0).numpy()
        self.experiment.log({name: wandb.Image(pixels), IMAGES: images_seen})

    @rank_zero_only
    @harmless("a table is not recorded")
    def log_rows(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], images_seen: int) -> None:
        """Log a table; a column holds numbers or words, and None where there is none."""
        import wandb

        self.experiment.log({name: wandb.Table(columns=[*columns], data=[[*row] for row in rows]), IMAGES: images_seen})

    @rank_zero_only
    @harmless("a model is not recorded")
    def log_model(self, name: str, write: Callable[[pathlib.Path], object], aliases: Sequence[str], description: Mapping[str, Any]) -> None:
        """Record a version of the artifact ``model-<run id>``.

        Args:
            name: of the folder with its files, which an offline run keeps until it was synced: other files need another name.
            write: writes the files into a folder.
            aliases: such as ``best``.
            description: what W&B shows beside it.
        """
        import wandb

        run = self.experiment
        if self.mode == "disabled":
            return
        folder = self._models / name
        shutil.rmtree(folder, ignore_errors=True)
        write(folder)
        artifact = wandb.Artifact(f"model-{run.id}", "model", metadata=dict(description))
        # The files stay as they are, so that nothing has to be copied into folders at home, which other machines may not see.
        artifact.add_dir(str(folder), skip_cache=True, policy="immutable")
        run.log_artifact(artifact, aliases=[*aliases])

    @rank_zero_only
    @harmless("the run may be incomplete")
    def close(self, exit_code: int = 0) -> None:
        """Finish the W&B run, as failed unless ``exit_code`` is 0; else the end of the process does, or the next run in it."""
        run, self._experiment = self._experiment, None
        if run is not None:
            run.finish(exit_code=exit_code)
            if self.mode == "online":
                shutil.rmtree(self._models, ignore_errors=True)  # sent by now

    def _start(self, mode: Mode) -> Any:
        """A new run in the wanted mode, else offline, else one that keeps nothing."""
        import wandb

        try:
            self.run_folder.mkdir(parents=True, exist_ok=True)  # otherwise wandb writes into a temporary folder
            # An offline run's closing summary repeats what the run folder holds; an online run's names its address.
            run: Any = wandb.init(**self._wandb_init, mode=mode, settings=wandb.Settings(silent=mode != "online"))
        except Exception as error:
            instead = _INSTEAD.get(mode)
            say(f"W&B: no {mode} run ({first_line(error)}); {instead or 'nothing'} instead")
            if instead is not None:
                return self._start(instead)
            run = DummyExperiment()
        WandbTracker._latest = run
        self.mode = mode
        if mode != "disabled":
            self._remember(run)
        return run

    @property
    def _models(self) -> pathlib.Path:
        return self.run_folder / "wandb" / "models"

    @harmless("the run folder does not name its W&B run; a continued training would start another")
    def _remember(self, run: Any) -> None:
        (self.run_folder / ID_FILE).write_text(run.id)
        if self.mode == "online" and run.url:  # which an offline run warns of
            (self.run_folder / URL_FILE).write_text(run.url)

    def _known_run_id(self) -> str | None:
        """The run to continue; a sweep's agent names its own."""
        file = self.run_folder / ID_FILE
        return None if "WANDB_RUN_ID" in os.environ or not file.exists() else file.read_text().strip() or None

    def _labels(self, tags: Sequence[str], *, new: bool) -> dict[str, Any]:
        """Group and tags: the environment's, which wandb itself reads once per process only, or ours for a new run."""
        ours = {"group": self.run_folder.parent.name[:LONGEST_GROUP], "tags": [tag[:LONGEST_TAG] for tag in tags if tag]} if new else {}
        if "WANDB_RUN_GROUP" in os.environ:
            ours["group"] = os.environ["WANDB_RUN_GROUP"]
        if "WANDB_TAGS" in os.environ:
            ours["tags"] = [tag for tag in os.environ["WANDB_TAGS"].split(",") if tag]
        return {name: value for name, value in ours.items() if value}

    @harmless("history is not shown over images seen")
    def _define_metrics(self, run: Any) -> None:
        run.define_metric(IMAGES, hidden=True)
        run.define_metric("*", step_metric=IMAGES)
        for name, direction in self.scores.items():
            for kind in SCORE_PREFIXES:
                run.define_metric(f"{kind}/{name}", step_metric=IMAGES, summary=_SUMMARIES[direction])

    @harmless("a row is recorded in metrics.csv only")
    def _log(self, row: dict[str, Any]) -> None:
        self.experiment.log(row)
