"""A training experiment from a configuration: Lightning's CLI in subclass mode, with our callbacks as groups of options."""

from __future__ import annotations

import pathlib
from dataclasses import dataclass, field
from typing import Any, Literal

import pytorch_lightning as pl
from pytorch_lightning.cli import LightningArgumentParser, LightningCLI
from pytorch_lightning.plugins.environments import SLURMEnvironment
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from lightning_gen.callbacks.budget import Budget
from lightning_gen.callbacks.checkpoints import Checkpoints
from lightning_gen.callbacks.ema import EMA
from lightning_gen.callbacks.generative_metrics import GenerativeMetrics
from lightning_gen.callbacks.latent_pictures import LatentPictures
from lightning_gen.callbacks.latent_report import LatentReport
from lightning_gen.callbacks.nonfinite import NonFinite
from lightning_gen.callbacks.pictures import ReconstructionGrid, SampleGrid
from lightning_gen.callbacks.preemption import Preemption
from lightning_gen.callbacks.progress import Progress
from lightning_gen.callbacks.run_folder import RunFolder, new_run_folder
from lightning_gen.cli.config_files import MODE
from lightning_gen.cli.launch import check_launch, choose_strategy, refuse_settings
from lightning_gen.cli.parsing import parse, plain_config, require_trusted, user_error_within
from lightning_gen.data.base import ImageDataModule
from lightning_gen.errors import UserError
from lightning_gen.evaluation import Plan, Scoring, score_directions
from lightning_gen.models.base import GenerativeModel

LINKED = ("data_shape", "num_bits", "num_classes", "num_attributes")
"""What the model is told of its data."""


@dataclass
class FinalEvaluation:
    """The evaluation of the best and the last checkpoint when training is over.

    Args:
        enabled: whether to evaluate and write result records.
        split: the split that the leaderboard's rows report on.
        num_samples: N images to draw; null for the data set's own N.
        metrics: of fid, is, kid, prdc, fd_infinity, per_class, authpct, diversity; null for the data set's own.
        dialects: whose conventions: tf1 (torch-fidelity), torchmetrics, or both.
        likelihood_samples: k of the likelihood's k-sample bound.
        likelihood_images: the first so many images; null for all.
        seed: keys the noise of samples and likelihoods.
        standing_statistics: batches of 64 samples from which BatchNorm's statistics are computed anew; 0 to keep those of training.
        generalization: whether to compare the likelihood with that of training images.
    """

    enabled: bool = True
    split: Literal["train", "validation", "test"] = "test"
    num_samples: int | None = None
    metrics: list[str] | None = None
    dialects: list[str] = field(default_factory=lambda: ["tf1"])
    likelihood_samples: int = 1
    likelihood_images: int | None = None
    seed: int = 0
    standing_statistics: int = 0
    generalization: bool = False

    def __post_init__(self) -> None:
        """Refuse before training what would be refused after it."""
        try:
            self.plan(Scoring())
        except UserError as error:
            raise UserError(f"final.{error}") from error

    def plan(self, scoring: Scoring) -> Plan:
        """The same in the words of the evaluation engine, with the extractor that ``scoring`` names."""
        metrics = None if self.metrics is None else tuple(self.metrics)
        scoring = Scoring(metrics, scoring.extractor, scoring.extractor_weights, dialects=tuple(self.dialects))
        return Plan(
            self.split,
            self.num_samples,
            self.likelihood_samples,
            self.likelihood_images,
            self.seed,
            scoring=scoring,
            standing_statistics=self.standing_statistics,
            generalization=self.generalization,
        )


OPTIONS: list[tuple[str, Any, Any, str]] = [
    ("runs", str, "runs", "folder in which every run gets its own folder"),
    (
        "training_noise",
        Literal["step", "indexed"],
        "step",
        "step: the device's generator, per (seed, step, rank); indexed: per image, the same for any number of processes",
    ),
    ("compile", bool, False, "compile the networks with torch.compile, in place"),
    (
        "wandb",
        Literal["auto", "on", "off"],
        "auto",
        "auto: online when logged in or WANDB_MODE says so, otherwise an offline run in the run folder; off: metrics.csv only",
    ),
    ("wandb_project", str | None, None, "the W&B project; lightning-gen by default"),
    (
        "wandb_artifacts",
        Literal["auto", "on", "off"],
        "auto",
        "weights of the best and the last checkpoint as W&B artifacts; auto: where the W&B run is online; on: in an offline run too",
    ),
    ("resume", str | None, None, "run folder to continue, from its own configuration and last checkpoint"),
    ("init_from", str | None, None, "checkpoint or run folder to take matching weights from"),
    ("trust", str | None, None, "module, or .py file, whose classes may be used; may be repeated"),
]
"""Name, type, default and help of the options that belong to no group."""


HELP = {
    "usage": "lightning-gen fit --config NAME [--config OVERLAY ...] [--model.X VALUE] [--data.X VALUE] [OPTION ...]",
    "description": (
        "Train what a configuration describes, then score it. NAME is a file, or one of 'lightning-gen list configs'. Later files and "
        "options win over earlier ones; --model.help CLASS and --data.help CLASS show what X may be; --print_config shows the result."
    ),
}


class Experiment(LightningCLI):
    """Parses the command line of ``fit`` and builds data, model, callbacks and trainer.

    Args:
        argv: the options of the experiment, with every ``--config`` already a path.
        folder: the folder of a run that is continued, or the name of the experiment of a new one.
    """

    def __init__(self, argv: list[str], folder: pathlib.Path | str) -> None:
        self._folder = folder
        super().__init__(
            GenerativeModel,
            ImageDataModule,
            subclass_mode_model=True,
            subclass_mode_data=True,
            run=False,
            args=argv,
            save_config_callback=None,
            seed_everything_default=0,
            auto_configure_optimizers=False,
            parser_kwargs={"exit_on_error": False, "prog": "lightning-gen fit", "dump_header": [], "parser_mode": MODE, **HELP},
        )

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        for name in LINKED:
            parser.link_arguments(f"data.{name}", f"model.init_args.{name}", apply_on="instantiate", compute_fn=_as_list)
        parser.link_arguments("seed_everything", "data.init_args.seed")
        # The order of the callbacks: a checkpoint has to hold what the others did to the state.
        parser.add_lightning_class_args(Budget, "budget")
        parser.add_lightning_class_args(EMA, "ema")
        parser.add_lightning_class_args(GenerativeMetrics, "evaluation")
        parser.add_lightning_class_args(LatentReport, "latents")
        parser.add_lightning_class_args(SampleGrid, "samples")
        parser.add_lightning_class_args(ReconstructionGrid, "reconstructions")
        parser.add_lightning_class_args(LatentPictures, "explore")
        parser.add_lightning_class_args(Checkpoints, "checkpoints")
        parser.add_class_arguments(FinalEvaluation, "final")
        for name, kind, default, text in OPTIONS:
            parser.add_argument(f"--{name}", type=kind, default=default, help=text)

    def parse_arguments(self, parser: LightningArgumentParser, args: list[str]) -> None:
        """Parse; every mistake is one line."""
        self.config = parse(parser, args)
        seed = self.config["seed_everything"]
        if not 0 <= seed < 2**32:
            raise UserError(f"seed_everything: expected 0 to {2**32 - 1}, got {seed}")
        if self.config["wandb"] == "off" and self.config["wandb_artifacts"] == "on":
            raise UserError("wandb_artifacts: expected auto or off with wandb: off, got 'on'")

    def plain_config(self) -> dict[str, Any]:
        """The experiment as plain data: what ``config.yaml`` of the run holds, and what can be given to ``--config`` again."""
        return plain_config(self.parser, self.config)

    def instantiate_classes(self) -> None:
        for group in ("model", "data"):
            require_trusted(group, self.config[group]["class_path"])
        try:
            super().instantiate_classes()
        except (ValueError, TypeError) as error:
            # jsonargparse wraps what a constructor raises, and tries the alternatives of a union type after it.
            raise user_error_within(error) or error from error

    def instantiate_trainer(self, **kwargs: Any) -> pl.Trainer:
        """The trainer with the callbacks in their order, and the strategy that the model needs."""
        self._prepare_model()
        self._prepare_run()
        settings = self.config_init["trainer"]
        refuse_settings(self.model, settings)
        settings["strategy"] = choose_strategy(self.model, settings)
        if SLURMEnvironment.detect():
            # Lightning's own handler saves inside the signal handler; ours saves between two steps.
            settings["plugins"] = [*(settings["plugins"] or []), SLURMEnvironment(auto_requeue=False)]
        trainer = super().instantiate_trainer(**kwargs)
        check_launch(trainer)
        if self.datamodule.batch_size % trainer.world_size:
            raise UserError(f"data.batch_size: expected a multiple of the {trainer.world_size} processes, got {self.datamodule.batch_size}")
        return trainer

    def _prepare_model(self) -> None:
        self.model.training_seed = self.config["seed_everything"]
        self.model.training_noise = self.config["training_noise"]
        self.model.data_spec = self.datamodule.specification()
        if self.config["compile"]:
            self.model.compile_networks()

    def _prepare_run(self) -> None:
        config = self.config
        self.metrics: GenerativeMetrics = self.config_init["evaluation"]
        self.folder = self._folder if isinstance(self._folder, pathlib.Path) else new_run_folder(config["runs"], self._folder)
        self.run_folder = RunFolder(
            self.folder,
            self.plain_config(),
            score_directions(self.datamodule, self.metrics.scoring),
            config["wandb"],
            config["wandb_project"],
        )
        self.checkpoints: Checkpoints = self.config_init["checkpoints"]
        self.preemption = Preemption(self.checkpoints)

    def _instantiate_trainer(self, config: dict[str, Any], callbacks: list[pl.Callback]) -> pl.Trainer:
        # The folder comes before all others, which write into it; the preemption's save comes before the regular one.
        position = callbacks.index(self.checkpoints)
        bar = [Progress(self.config_init["budget"].images)] if config["enable_progress_bar"] is not False else []
        ours = [*callbacks[:position], self.preemption, *callbacks[position:]]
        config["callbacks"] = [self.run_folder, NonFinite(), *bar, *(config["callbacks"] or [])]
        try:
            return super()._instantiate_trainer(config, ours)
        except (ValueError, MisconfigurationException) as error:
            settings = f"accelerator {config['accelerator']}, devices {config['devices']}"
            raise UserError(f"trainer ({settings}): {' '.join(str(error).split())}") from error


def _as_list(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
