"""What the tests of training share: small data, functions that train on one or several processes, and comparison to the last bit."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from pool_environment import PoolEnvironment
from torch import Tensor

from lightning_gen.callbacks.budget import Budget
from lightning_gen.cli.launch import choose_strategy
from lightning_gen.data.base import ImageDataModule
from lightning_gen.models.base import CHECKPOINT_KEY, Batch, GenerativeModel
from lightning_gen.noise import Noise

SWITCHES = ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary", "use_distributed_sampler")


class Small(ImageDataModule):
    """40 random 8x8 images: at 16 to the batch an epoch has two batches and drops eight images."""

    name = "small"
    data_shape = (1, 8, 8)
    num_classes = 4

    def __init__(self, batch_size: int = 16, **options: Any) -> None:
        super().__init__(batch_size, **options)

    def load(self, split: str) -> tuple[np.ndarray, np.ndarray]:
        generator = np.random.default_rng(1)
        return generator.integers(0, 256, (40, *self.data_shape), np.uint8), generator.integers(0, 4, 40)


class Scalar(GenerativeModel):
    """A model of one number, for tests of what surrounds a training step."""

    averaged_networks = ("network",)

    def __init__(self, data_shape: Sequence[int] = (1, 8, 8), **options: Any) -> None:
        super().__init__(list(data_shape), **options)
        self.network = torch.nn.Linear(1, 1, bias=False)
        self.records: list[Any] = []

    def record(self, batch: Batch, noise: Noise) -> Any:
        """What a test wants to know of every step."""

    def terms(self, batch: Batch, noise: Noise) -> dict[str, Tensor]:
        return {"loss": (self.network.weight.squeeze() - batch[0].to(self.dtype).mean() / 255).square()}

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        noise = self.step_noise(batch)
        self.records.append(self.record(batch, noise))
        terms = self.terms(batch, noise)
        self.log_terms(terms)
        return terms["loss"]

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How a process builds its model: a class and its arguments.

    Args:
        model: the class.
        arguments: without ``data_shape``, which is the data's.
        seed: of the weights, and of the training.
        noise: as :attr:`GenerativeModel.training_noise`.
    """

    model: type[GenerativeModel]
    arguments: dict[str, Any] = dataclasses.field(default_factory=dict)
    seed: int = 3
    noise: str = "step"

    def build(self, data: ImageDataModule) -> GenerativeModel:
        torch.manual_seed(self.seed)
        model = self.model(list(data.data_shape), **self.arguments)
        model.training_seed, model.training_noise = self.seed, self.noise
        return model


@dataclasses.dataclass
class Outcome:
    """What a rank has at the end of a training."""

    model: GenerativeModel
    trainer: pl.Trainer
    callbacks: list[pl.Callback]


def new_trainer(model: GenerativeModel, world_size: int, callbacks: Iterable[pl.Callback] = (), **options: Any) -> pl.Trainer:
    """A trainer on the CPU as the base configuration asks for, in the process group of the pool's task."""
    settings: dict[str, Any] = {"accelerator": "cpu", "devices": world_size, "num_nodes": 1, "strategy": "auto", "max_epochs": -1}
    settings |= dict.fromkeys(SWITCHES, False) | {"limit_val_batches": 0, "num_sanity_val_steps": 0} | options
    settings["strategy"] = choose_strategy(model, settings)
    if world_size > 1:
        settings["plugins"] = [PoolEnvironment()]
    return pl.Trainer(callbacks=[*callbacks], **settings)


def train(
    recipe: Recipe, world_size: int, images: int, callbacks: Sequence[pl.Callback] = (), data: ImageDataModule | None = None, **options: Any
) -> Outcome:
    """Train until so many images are seen, in this process as one rank of ``world_size``; ``ckpt_path`` is among the options."""
    data = data or Small(seed=recipe.seed)
    model = recipe.build(data)
    checkpoint = options.pop("ckpt_path", None)
    trainer = new_trainer(model, world_size, [Budget(images), *callbacks], **options)
    trainer.fit(model, datamodule=data, ckpt_path=checkpoint, weights_only=True)
    return Outcome(model, trainer, [*callbacks])


def weights_after(rank: int, world_size: int, recipe: Recipe, images: int, options: dict[str, Any]) -> dict[str, Tensor]:
    """A pool task: weights and buffers of this rank after a training."""
    outcome = train(recipe, world_size, images, **options)
    assert outcome.model.images_seen == images
    return {name: tensor.clone() for name, tensor in outcome.model.state_dict().items()}


def largest_difference(first: dict[str, Tensor], second: dict[str, Tensor]) -> float:
    """Over all tensors of two state dicts."""
    assert first.keys() == second.keys()
    return max(float((first[name].double() - second[name].double()).abs().max()) for name in first)


# The command line as a pool task.


def fit_command(rank: int, world_size: int, argv: Sequence[str]) -> None:
    """A pool task: ``lightning-gen fit`` with these options."""
    from lightning_gen.cli.fit import run

    module = PoolEnvironment.__module__
    plugins = ["--trust", module, f"--trainer.plugins=[{{'class_path': '{module}.PoolEnvironment'}}]"] if world_size > 1 else []
    assert run([*argv, f"--trainer.devices={world_size}", "--trainer.accelerator=cpu", *plugins]) == 0


QUIET = ("--wandb=off", "--final.enabled=false", "--trainer.enable_progress_bar=false")
VAE_RUN = (
    *("--config=vae_digits", "--model.init_args.latent_dim=4", "--data.init_args.batch_size=250"),
    *("--model.init_args.encoder={class_path: MLPEncoder, init_args: {hidden: [16]}}",),
    *("--model.init_args.decoder={class_path: MLPDecoder, init_args: {hidden: [16]}}",),
)
"""997 training images: three batches of 250 to the epoch, 247 images dropped."""
DCGAN_RUN = (
    *("--config=dcgan_digits", "--model.init_args.width=4", "--model.init_args.latent_dim=4", "--data.init_args.batch_size=250"),
    *("--model.init_args.n_critic=2", "--model.init_args.decay_images=5000", "--ema.half_life_images=600"),
)
SILENT = ("--evaluation.every_images=0", "--samples.every_images=0", "--reconstructions.every_images=0", "--checkpoints.every_images=0")
BUSY = (
    *("--evaluation.every_images=500", "--evaluation.num_samples=70", "--evaluation.likelihood_images=70"),
    *("--samples.every_images=500", "--reconstructions.every_images=500", "--checkpoints.every_images=500"),
)


def only_run(runs: pathlib.Path) -> pathlib.Path:
    """The folder of the only run under ``runs``."""
    (folder,) = (path.parent for path in runs.glob("*/*/config.yaml"))
    return folder


def content(path: pathlib.Path) -> dict[str, Any]:
    """What of a checkpoint has to be the same to the last bit: all but the time that it took, and Lightning's count of epochs."""
    checkpoint = torch.load(path, weights_only=True)
    checkpoint[CHECKPOINT_KEY].pop("device_seconds")
    kept = ("state_dict", "optimizer_states", "lr_schedulers", "callbacks", CHECKPOINT_KEY, "global_step")
    return {key: checkpoint[key] for key in kept}


def different(first: Any, second: Any, name: str = "") -> list[str]:
    """The names of everything in which two trees of tensors and plain data differ, to the last bit."""
    if type(first) is not type(second):
        return [name]
    if isinstance(first, dict):
        return [
            found
            for key in first.keys() | second.keys()
            for found in (different(first[key], second[key], f"{name}/{key}") if key in first and key in second else [f"{name}/{key}"])
        ]
    if isinstance(first, list | tuple):
        if len(first) != len(second):
            return [name]
        return [found for index, pair in enumerate(zip(first, second, strict=True)) for found in different(*pair, f"{name}/{index}")]
    if isinstance(first, Tensor):
        same = first.shape == second.shape and first.dtype == second.dtype and first.numpy().tobytes() == second.numpy().tobytes()
        return [] if same else [name]
    return [] if first == second else [name]


class Each(pl.Callback):
    """Collects ``look(model)`` after every batch."""

    def __init__(self, look: Callable[[GenerativeModel], Any]) -> None:
        super().__init__()
        self.look = look
        self.seen: list[Any] = []

    @property
    def state_key(self) -> str:
        return f"Each{id(self)}"

    def on_train_batch_end(self, trainer: pl.Trainer, model: GenerativeModel, *arguments: Any) -> None:
        self.seen.append(self.look(model))
