"""A training experiment from a configuration: Lightning's CLI in subclass mode, with our callbacks as groups of options."""

from __future__ import annotations

import argparse
import importlib
import inspect
import logging
import os
import pathlib
import warnings
from dataclasses import dataclass
from typing import Any, Literal

import pytorch_lightning as pl
import torch
import yaml
from jsonargparse.typing import register_type
from pytorch_lightning.cli import LightningArgumentParser, LightningCLI
from pytorch_lightning.plugins.environments import SLURMEnvironment

from lightning_gen import registry
from lightning_gen.callbacks.budget import Budget
from lightning_gen.callbacks.checkpoints import Checkpoints
from lightning_gen.callbacks.ema import EMA
from lightning_gen.callbacks.periodic_evaluation import PeriodicEvaluation
from lightning_gen.callbacks.pictures import ReconstructionGrid, SampleGrid
from lightning_gen.callbacks.preemption import Preemption
from lightning_gen.callbacks.progress import Progress
from lightning_gen.callbacks.run_folder import RunFolder, new_run_folder
from lightning_gen.cli.config_errors import check_options, explain
from lightning_gen.data.base import ImageDataModule
from lightning_gen.errors import UserError
from lightning_gen.models.base import GenerativeModel
from lightning_gen.registry import ClassSpec

LINKED = ("data_shape", "num_bits", "num_classes", "num_attributes")
"""What the model is told of its data."""

OWN_OPTIONS = ("config", "resume", "init_from", "trust")
"""Options of one invocation, which are not part of the experiment; ``fit`` reads them before this parser, which documents them."""


@dataclass
class FinalEvaluation:
    """The evaluation of the best and the last checkpoint when training is over.

    Args:
        enabled: whether to evaluate and write result records.
        split: the split that the leaderboard's rows report on.
        num_samples: N images to draw.
        likelihood_samples: k of the likelihood's k-sample bound.
        likelihood_images: the first so many images; null for all.
        seed: keys the noise of samples and likelihoods.
    """

    enabled: bool = True
    split: Literal["train", "validation", "test"] = "test"
    num_samples: int = 5000
    likelihood_samples: int = 1
    likelihood_images: int | None = None
    seed: int = 0


# A spec stays plain data: the model builds it, with the arguments that only the model knows.
register_type(ClassSpec, lambda spec: spec.plain, ClassSpec, deserializer_exceptions=UserError, type_check=isinstance)


def quiet() -> None:
    """Keep Lightning's advertisements and its advice on data loaders that we do not use out of the output."""
    for name in ("pytorch_lightning", "lightning_fabric", "lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for advice in (
        "`isinstance.treespec, LeafSpec.`",
        "LightningCLI's args",
        "The '.*_dataloader' does not have many workers",
        "The number of training batches",
        "Checkpoint dir",
    ):
        warnings.filterwarnings("ignore", message=f".*{advice}.*")


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
            parser_kwargs={"exit_on_error": False, "prog": "lightning-gen fit", "dump_header": []},
        )

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        for name in LINKED:
            parser.link_arguments(f"data.{name}", f"model.init_args.{name}", apply_on="instantiate", compute_fn=_plain)
        parser.link_arguments("seed_everything", "data.init_args.seed")
        # The order of the callbacks: a checkpoint has to hold what the others did to the state.
        parser.add_lightning_class_args(Budget, "budget")
        parser.add_lightning_class_args(EMA, "ema")
        parser.add_lightning_class_args(PeriodicEvaluation, "evaluation")
        parser.add_lightning_class_args(SampleGrid, "samples")
        parser.add_lightning_class_args(ReconstructionGrid, "reconstructions")
        parser.add_lightning_class_args(Checkpoints, "checkpoints")
        parser.add_class_arguments(FinalEvaluation, "final")
        parser.add_argument("--runs", type=str, default="runs", help="folder in which every run gets its own folder")
        parser.add_argument(
            "--training_noise",
            type=Literal["step", "indexed"],
            default="step",
            help=(
                "step: the device's generator, per (seed, step, rank); indexed: per image of the global batch, the same for any number of processes"
            ),
        )
        parser.add_argument("--compile", type=bool, default=False, help="compile the networks with torch.compile, in place")
        parser.add_argument(
            "--wandb",
            type=Literal["auto", "on", "off"],
            default="auto",
            help=("auto: online when logged in or WANDB_MODE says so, otherwise an offline run in the run folder; off: metrics.csv only"),
        )
        parser.add_argument("--wandb_project", type=str | None, default=None, help="the W&B project; lightning-gen by default")
        parser.add_argument(
            "--resume", type=str | None, default=None, help="run folder to continue from its own configuration and last checkpoint"
        )
        parser.add_argument("--init_from", type=str | None, default=None, help="checkpoint or run folder to take matching weights from")
        parser.add_argument(
            "--trust", type=str | None, default=None, help="module, or .py file, whose classes may be used; may be repeated"
        )

    def parse_arguments(self, parser: LightningArgumentParser, args: list[str]) -> None:
        """Parse; every mistake is one line."""
        self.config = parse(parser, args)

    def instantiate_classes(self) -> None:
        for group in ("model", "data"):
            _require_trusted(group, self.config[group]["class_path"])
        try:
            super().instantiate_classes()
        except (ValueError, TypeError) as error:
            # jsonargparse wraps what a constructor raises, and tries the alternatives of a union type after it.
            raise _user_error_within(error) or error from error

    def instantiate_trainer(self, **kwargs: Any) -> pl.Trainer:
        """The trainer with the callbacks in their order, and the strategy that the model needs."""
        config = self.config
        self.folder = self._folder if isinstance(self._folder, pathlib.Path) else new_run_folder(config["runs"], self._folder)
        self._prepare_model()
        self.checkpoints: Checkpoints = self.config_init["checkpoints"]
        self.preemption = Preemption(self.checkpoints)
        extractor = self.datamodule.extractor
        directions = {f"FD({extractor})": "lower", f"CS({extractor})": "higher"} if extractor else {}
        directions |= {"bits/dim": "lower", "nats": "lower"}
        self.run_folder = RunFolder(self.folder, self.plain_config(), directions, config["wandb"], config["wandb_project"])
        settings = self.config_init["trainer"]
        settings["strategy"] = choose_strategy(self.model, settings)
        refuse_precision(self.model, settings["precision"])
        if SLURMEnvironment.detect():
            settings["plugins"] = [*(settings["plugins"] or []), SLURMEnvironment(auto_requeue=False)]
        trainer = super().instantiate_trainer(**kwargs)
        check_launch(trainer)
        if self.datamodule.batch_size % trainer.world_size:
            raise UserError(f"data.batch_size: expected a multiple of the {trainer.world_size} processes, got {self.datamodule.batch_size}")
        return trainer

    def _instantiate_trainer(self, config: dict[str, Any], callbacks: list[pl.Callback]) -> pl.Trainer:
        # The folder comes before all others, which write into it; the preemption's save comes before the regular one.
        position = callbacks.index(self.checkpoints)
        bar = [Progress(self.config_init["budget"].images)] if config["enable_progress_bar"] is not False else []
        ours = [*callbacks[:position], self.preemption, *callbacks[position:]]
        config["callbacks"] = [self.run_folder, *bar, *(config["callbacks"] or [])]
        return super()._instantiate_trainer(config, ours)

    def _prepare_model(self) -> None:
        self.model.training_seed = self.config["seed_everything"]
        self.model.training_noise = self.config["training_noise"]
        self.model.data_spec = self.datamodule.specification()
        if self.config["compile"]:
            self.model.compile_networks()

    def plain_config(self) -> dict[str, Any]:
        """The experiment as plain data: what ``config.yaml`` of the run holds, and what can be given to ``--config`` again."""
        return plain_config(self.parser, self.config)


def parse(parser: LightningArgumentParser, args: list[str]) -> Any:
    """The configuration that a command line describes; a mistake is a UserError of one line."""
    check_options(args, parser._option_string_actions)
    _import_catalogues()
    try:
        return parser.parse_args(args)
    except (argparse.ArgumentError, argparse.ArgumentTypeError) as error:
        raise UserError(explain(str(error), _argument_names, _class_names)) from error


def _import_catalogues() -> None:
    """jsonargparse finds a class by its short name only once it is imported."""
    import lightning_gen.data
    import lightning_gen.models

    for catalogue in (lightning_gen.models, lightning_gen.data):
        for name in dir(catalogue):
            getattr(catalogue, name)
    for name, path in registry.registered().items():
        base = GenerativeModel if name in registry.registered("lightning_gen.models") else ImageDataModule
        registry.resolve(path, base, f"entry point {name}")


def plain_config(parser: LightningArgumentParser, config: Any) -> dict[str, Any]:
    """A parsed configuration as plain data, without the options of one invocation."""
    content = yaml.safe_load(parser.dump(config, skip_unset=False, skip_link_targets=True))
    return {key: value for key, value in content.items() if key not in OWN_OPTIONS}


def _user_error_within(error: BaseException | None) -> UserError | None:
    """The complaint of our own constructor that lies at the bottom of jsonargparse's error, if there is one."""
    while error is not None and not isinstance(error, UserError):
        error = error.__cause__ or error.__context__
    return error


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _require_trusted(key: str, class_path: str) -> None:
    if not registry.is_trusted(class_path):
        module = class_path.rpartition(".")[0]
        raise UserError(f"{key}: class {class_path!r} is neither ours nor registered; if you trust its code, pass --trust {module}")


def _argument_names(class_path: str) -> list[str]:
    module, _, name = class_path.rpartition(".")
    names: list[str] = []
    for ancestor in getattr(importlib.import_module(module), name).__mro__:
        names += inspect.signature(ancestor.__init__).parameters if "__init__" in vars(ancestor) else []
        if ancestor in (GenerativeModel, ImageDataModule):
            break
    return names


def _class_names(key: str) -> list[str]:
    import lightning_gen.data
    import lightning_gen.models

    names = {"model": dir(lightning_gen.models), "data": dir(lightning_gen.data)}
    return [*names.get(key.partition(".")[0], []), *registry.registered()]


def choose_strategy(model: GenerativeModel, settings: Any) -> Any:
    """The strategy for this model: alternating updates leave some parameters unused in each, which plain DDP refuses."""
    strategy = settings["strategy"]
    if strategy in ("auto", "ddp") and not model.automatic_optimization and expected_processes(settings) > 1:
        return "ddp_find_unused_parameters_true"
    return strategy


def expected_processes(settings: Any) -> int:
    """How many processes the trainer's settings ask for."""
    devices = settings["devices"]
    if isinstance(devices, list):
        count = len(devices)
    elif str(devices) in ("auto", "-1"):
        count = torch.cuda.device_count() if settings["accelerator"] in ("auto", "gpu", "cuda") else 1
    else:
        count = int(devices)
    return max(1, count) * settings["num_nodes"]


def refuse_precision(model: GenerativeModel, precision: Any) -> None:
    """One gradient scaler cannot serve two losses: its scale changes between their steps."""
    if not model.automatic_optimization and precision in ("16-mixed", "16", 16):
        raise UserError(
            f"trainer.precision: {precision} scales the gradients, and one scaler cannot serve a GAN's two optimisers; expected bf16-mixed or 32"
        )


def check_launch(trainer: pl.Trainer) -> None:
    """Refuse N independent single runs where the launcher started N processes for one."""
    slurm = SLURMEnvironment.detect()
    launched = int(os.environ.get("SLURM_NTASKS" if slurm else "WORLD_SIZE", 1))
    if launched != trainer.world_size:
        raise UserError(
            f"trainer.devices: the launcher started {launched} processes but the trainer uses {trainer.world_size}, so each would train"
            f" alone; expected --trainer.strategy ddp, or --trainer.devices and --trainer.num_nodes that multiply to {launched}"
        )
