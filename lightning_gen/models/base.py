r"""The contract that every model of every family keeps: hyperparameters, progress, noise, averaged weights, and what a checkpoint holds."""

from __future__ import annotations

import contextlib
import copy
import time
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from lightning_gen.errors import UserError
from lightning_gen.models.guard import FiniteGuard
from lightning_gen.models.hyperparameters import notes_arguments, plain
from lightning_gen.models.inference import Averages, Weights, check_weights, default_dtype
from lightning_gen.nn.base import LabelKind
from lightning_gen.noise import BLOCK, IndexedNoise, Noise, StepNoise, stable_hash
from lightning_gen.registry import Spec, class_path

Batch = tuple[Tensor, Tensor]
"""uint8 images ``(B, C, H, W)`` (or float32 vectors ``(B, D)``) and int64 labels ``(B,)`` or ``(B, A)``."""

CHECKPOINT_KEY = "lightning_gen"


class GenerativeModel(pl.LightningModule):
    """A generative model of images, trained by Lightning.

    A subclass takes the data's description as its first arguments (the command line links them from the data), calls
    ``super().__init__`` with them and builds its networks in ``build_*`` methods. Hyperparameters are plain data: int, float, str, bool,
    list, or a spec ``{class_path, init_args}`` of one of the allowed classes.

    Args:
        data_shape: ``[C, H, W]`` of uint8 images, or ``[D]`` of float32 vectors.
        num_bits: bits per pixel of the data, 1 to 8.
        num_classes: number of label classes; 0 when there are none.
        num_attributes: number of binary attributes that serve as labels; 0 when there are none.
        conditional: whether the model is given the labels.
    """

    family: str = ""
    """autoregressive, flow, autoencoder, gan or diffusion."""
    density: str = "implicit"
    """``explicit exact``, ``explicit bound`` or ``implicit``."""
    paper: str = ""
    """Authors, year and arXiv id."""
    averaged_networks: tuple[str, ...] = ()
    """The attributes of which an exponential moving average (EMA) is worth keeping: what samples, never a discriminator."""
    held_out_terms: tuple[str, ...] = ()
    """Which of :meth:`validation_terms` are worth a curve of their own beside the scores of an evaluation during training."""
    rate_ends_at_zero: bool = True
    """Whether the learning rate is zero after ``decay_images``, where a model has such a hyperparameter."""
    data_dependent: tuple[str, ...] = ()
    """Starts of the names of the weights that :meth:`initialize_from_data` sets; a warm start that brings all of them skips it."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "__init__" in vars(cls):
            cls.__init__ = notes_arguments(cls.__init__)

    def __init__(
        self, data_shape: list[int], num_bits: int = 8, num_classes: int = 0, num_attributes: int = 0, conditional: bool = False
    ) -> None:
        init_args = self.__dict__.pop("_init_args", {})
        super().__init__()
        self.hparams.update(init_args)
        if len(data_shape) not in (1, 3) or min(data_shape) < 1:
            raise UserError(f"model.data_shape: expected [channels, height, width] or [dimensions], got {list(data_shape)}")
        if not 1 <= num_bits <= 8:
            raise UserError(f"model.num_bits: expected 1 to 8, got {num_bits}")
        if conditional and not (num_classes or num_attributes):
            raise UserError("model.conditional: the data has no labels to condition on; expected conditional: false")
        self.data_shape = tuple(data_shape)
        self.num_bits, self.conditional = num_bits, conditional
        self.num_classes, self.num_attributes = num_classes, num_attributes
        self.images_seen = self.batches_seen = self.warm_start_images = 0
        self.device_seconds, self.training_world_size = 0.0, 1
        self._clock: float | None = None
        self.ema: nn.ModuleDict | None = None
        self.training_seed, self.data_initialized = 0, False
        self.warm_weights: frozenset[str] = frozenset()
        self.training_noise: Literal["step", "indexed"] = "step"
        self.data_spec: Spec | None = None
        self.exported_weights: Weights | None = None  # which ones these are, where a model comes from an export
        self.guard = FiniteGuard()
        self.last_batch: Batch | None = None

    # What a subclass may add.

    def initialize_from_data(self, batch: Batch, noise: Noise) -> None:
        """Data-dependent initialisation (ActNorm, weight normalisation, codebooks) on the first training batch.

        Runs once per training, on every rank, before the first step, and is skipped on resume. Statistics have to be reduced over
        ranks (:func:`lightning_gen.distributed.global_mean`). Layers whose weights a warm start has brought (``warm_weights``) stay.
        """

    def recipe_warnings(self) -> list[str]:
        """Settings that the paper advises against, a line each with its rule: said when a training starts, and nothing more."""
        return []

    def budget_warnings(self, images: int, batch_size: int) -> list[str]:
        """Settings that go ill with the length of the training, a line each: said when it starts.

        Args:
            images: of the whole training.
            batch_size: of all processes.
        """
        decay = self.hparams.get("decay_images", 0)
        idle = f"model.decay_images {decay}: from there on the learning rate is zero, and budget.images is {images}"
        return [idle] if self.rate_ends_at_zero and 0 < decay < images else []

    def answer_options(self) -> dict[str, Any]:
        """How this model answers where it has a choice (temperature, observation noise, ...): recorded with every result."""
        return {}

    @property
    def hyperparameters(self) -> dict[str, Any]:
        """The constructor's arguments as plain data: with the class, what a checkpoint keeps to rebuild this model."""
        return plain(dict(self.hparams))

    # Labels.

    @property
    def label_kind(self) -> LabelKind:
        """What the labels look like that the networks are built for; empty for an unconditional model."""
        return LabelKind(self.num_classes, self.num_attributes) if self.conditional else LabelKind()

    @property
    def trained_classes(self) -> list[int]:
        """The classes of the images that it is trained on: ``only_classes`` of its data where that is set, else all."""
        return (self.data_spec or {}).get("init_args", {}).get("only_classes") or [*range(self.num_classes)]

    def labels_of(self, batch: Batch) -> Tensor | None:
        """The labels of a training batch that the networks get: None for an unconditional model."""
        return batch[1] if self.conditional else None

    def condition(self, labels: Tensor | None) -> Tensor | None:
        """The labels that somebody gave: a conditional model refuses to go without, an unconditional one does not silently ignore them.

        Raises:
            UserError: labels are missing, not wanted, or not of the kind that the model was trained with.
        """
        name = type(self).__name__
        if labels is None and self.conditional:
            raise UserError(f"labels: {name} is conditional; expected labels, got none")
        if labels is not None and not self.conditional:
            raise UserError(f"labels: {name} was trained without labels (model.conditional: false); expected none")
        if labels is not None and not self._are_labels(labels):
            expected = f"integers below {self.num_classes}" if self.num_classes else f"{self.num_attributes} attributes 0 or 1 each"
            raise UserError(f"labels: expected {expected}, got {labels.dtype} {tuple(labels.shape)} up to {labels.max().item()}")
        return labels

    def _are_labels(self, labels: Tensor) -> bool:
        shape, top = ((), self.num_classes) if self.num_classes else ((self.num_attributes,), 2)
        fits = labels.dtype == torch.int64 and labels.shape[1:] == shape
        return fits and (labels.numel() == 0 or bool(labels.min() >= 0 and labels.max() < top))

    # Progress and randomness: functions of (seed, step, rank), so that ranks never share noise and a resumed run continues exactly.

    @property
    def world_size(self) -> int:
        """Number of processes that train this model."""
        return self._trainer.world_size if self._trainer is not None else 1

    def step_noise(self, batch: Batch) -> Noise:
        """The noise of the current training step for this rank's part of the global batch."""
        count = len(batch[0])
        if self.training_noise == "indexed":
            start = self.images_seen - count * self.world_size + count * self.global_rank
            return IndexedNoise(stable_hash(self.training_seed, "training"), range(start, start + count), self.device)
        return StepNoise(count, self.training_seed, self.batches_seen, self.global_rank, self.device)

    def seed_generators(self, rank: int) -> None:
        """Key the global generators, from which dropout and the like draw, by the current step of a rank."""
        torch.manual_seed(stable_hash(self.training_seed, self.batches_seen, rank, "ambient") >> 1)

    def on_train_start(self) -> None:
        """Start the clock of device hours."""
        self._clock = time.monotonic()

    def lap(self) -> None:
        """Add the time since the last lap to the device-seconds of training."""
        if self._clock is not None:
            now = time.monotonic()
            self.device_seconds += (now - self._clock) * self.world_size
            self._clock = now

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Count the batch, key every generator by it, and initialise from data when it is the first."""
        self.images_seen += len(batch[0]) * self.world_size
        self.batches_seen += 1
        self.last_batch = batch
        self.seed_generators(self.global_rank)
        self._apply_learning_rate_schedule()
        if not self.data_initialized:
            # In the model's type: Lightning sets it only around its own steps.
            with torch.no_grad(), default_dtype(torch.promote_types(self.dtype, torch.float32)):
                self.initialize_from_data(batch, self.step_noise(batch))
            self.data_initialized = True

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Log the terms of the loss on a validation batch, with noise keyed by the position in the validation order."""
        block = batch_idx * self.world_size + self.global_rank
        noise = IndexedNoise(0, range(block * BLOCK, block * BLOCK + len(batch[0])), self.device)
        terms = self.validation_terms(batch, noise)
        self.log_dict({f"val/{name}": value for name, value in terms.items()}, batch_size=len(batch[0]), sync_dist=True)

    def validation_terms(self, batch: Batch, noise: Noise) -> dict[str, Tensor]:
        """Named terms to log on a validation batch; none unless the family defines them."""
        return {}

    def log_terms(self, terms: Mapping[str, Tensor]) -> None:
        """Log the named terms of one training step and watch them for NaN and infinity."""
        self.guard.watch(self, terms)
        self.log_dict({f"train/{name}": value.detach() for name, value in terms.items()}, prog_bar=False)

    # Learning rate: a function of images seen, hence nothing to save or to step.

    def learning_rate_factor(self) -> float:
        """What the optimisers' learning rates are multiplied with at ``images_seen``.

        Rises linearly from 0 over the hyperparameter ``warmup_images`` and falls linearly to 0 over ``decay_images``, where the model has
        one that is not 0.
        """
        warmup, decay = self.hparams.get("warmup_images", 0), self.hparams.get("decay_images", 0)
        rise = min(1.0, self.images_seen / warmup) if warmup else 1.0
        return rise * (max(0.0, 1 - self.images_seen / decay) if decay else 1.0)

    def _apply_learning_rate_schedule(self) -> None:
        factor = self.learning_rate_factor()
        optimizers = self.optimizers(use_pl_optimizer=False)
        for optimizer in optimizers if isinstance(optimizers, list) else [optimizers]:
            for group in optimizer.param_groups:
                # Kept in the group, hence in the checkpoint: the rate that the model asked for.
                group.setdefault("base_lr", group["lr"])
                if factor != group.get("lr_factor", 1.0):
                    group["lr"] = group["base_lr"] * factor
                    group["lr_factor"] = factor

    def trained_parameters(self) -> list[nn.Parameter]:
        """What an optimiser should get: every parameter but the averages."""
        return [parameter for parameter in self.parameters() if parameter.requires_grad]

    def compile_networks(self) -> None:
        """Compile every network in place, which keeps the names of the weights."""
        for name, network in self.named_children():
            if name != "ema":
                network.compile()

    # Averaged weights.

    @contextlib.contextmanager
    def inference(self, weights: Weights = "ema") -> Iterator[None]:
        """Evaluation mode, no gradients, no autocast, on the averaged weights when there are any; afterwards all is as before."""
        check_weights(weights)
        modes = {module: module.training for module in self.modules()}
        live = {name: getattr(self, name) for name in self.ema} if self.ema is not None and weights == "ema" else {}
        try:
            for name in live:
                setattr(self, name, self.ema[name])
            self.eval()
            # The type of the noise and of the images' float forms, outside Lightning's own steps too.
            with torch.no_grad(), torch.autocast(self.device.type, enabled=False), default_dtype(self.dtype):
                yield
        finally:
            for name, network in live.items():
                setattr(self, name, network)
            for module, mode in modes.items():
                module.training = mode

    # Checkpoints: class, plain hyperparameters, data and progress, under our own key.

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what :func:`lightning_gen.checkpoint.load_model` needs to rebuild this model from the file alone."""
        self.lap()
        checkpoint[CHECKPOINT_KEY] = {
            "format": 1,
            "model": {"class_path": class_path(type(self)), "init_args": self.hyperparameters},
            "data": self.data_spec,
            "images_seen": self.images_seen,
            "batches_seen": self.batches_seen,
            "device_seconds": self.device_seconds,
            "warm_start_images": self.warm_start_images,
            "world_size": self.world_size,
            "data_initialized": self.data_initialized,
            "has_ema": self.ema is not None,
            "seed": self.training_seed,
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore progress, and make room for averaged weights when the file holds some."""
        ours = checkpoint[CHECKPOINT_KEY]
        self.images_seen = ours["images_seen"]
        self.batches_seen = ours["batches_seen"]
        self.device_seconds = ours["device_seconds"]
        self.warm_start_images = ours["warm_start_images"]
        self.training_world_size = ours["world_size"]
        self.data_initialized = ours["data_initialized"]
        if ours["has_ema"] and self.ema is None:
            self.create_ema()

    def update_ema(self, decay: float) -> None:
        """Move the averages towards the live networks, average <- decay * average + (1 - decay) * live; buffers are copied."""
        for name, average in self.ema.items():
            live = getattr(self, name)
            with torch.no_grad():
                if averages := list(average.parameters()):  # a likelihood may have none
                    torch._foreach_lerp_(averages, list(live.parameters()), 1 - decay)
                for target, source in zip(average.buffers(), live.buffers(), strict=True):
                    target.copy_(source)

    def create_ema(self) -> None:
        """Start the averages as copies of the live networks."""
        copies = {name: copy.deepcopy(getattr(self, name)) for name in self.averaged_networks}
        self.ema = Averages(copies).eval()
        self.ema.requires_grad_(False)
