"""SNGAN's updates (five of the discriminator, one of the generator, batch 64, 32x32) under Lightning, beside a plain loop of PyTorch on the
same networks: medians of cycles that take turns in one process.

Usage: python benchmarks/gan_speed.py [--device cuda] [--widths 256 128] [--cycles 30] [--threads 1] [--fast]

The plain loop has its batches on the device, floats already, and draws its noise by torch.randn; ours counts images, draws keyed noise,
watches for NaN, logs, and updates the generator's average, which the plain loop does too. --fast lets ours use channels_last, bfloat16 and
compiled networks, as on a GPU (there the target is 1.5 times the plain loop's speed; the overhead without it is to be below 5 %).
"""

from __future__ import annotations

import argparse
import logging
import statistics
import time
import warnings
from collections.abc import Callable
from typing import Any

import pytorch_lightning as pl
import torch
from noise_speed import machine
from torch import Tensor, nn
from torch.nn.functional import relu

from lightning_gen.callbacks.ema import EMA
from lightning_gen.data.base import ImageDataModule
from lightning_gen.models import SNGAN

BATCH, N_CRITIC, LATENT_DIM = 64, 5, 128


class RandomImages(ImageDataModule):
    """Random bytes of CIFAR-10's shape."""

    name = "random"
    data_shape = (3, 32, 32)

    def load(self, split: str) -> tuple[Any, Any]:
        generator = torch.Generator().manual_seed(0)
        images = torch.randint(0, 256, (4096, *self.data_shape), generator=generator, dtype=torch.uint8)
        return images.numpy(), torch.zeros(4096, dtype=torch.int64).numpy()


def new_model(widths: list[int]) -> SNGAN:
    """SNGAN's residual networks."""
    torch.manual_seed(0)
    generator = {"class_path": "ResNetGenerator", "width": widths[0]}
    discriminator = {"class_path": "ResNetDiscriminator", "width": widths[1]}
    return SNGAN([3, 32, 32], latent_dim=LATENT_DIM, n_critic=N_CRITIC, generator=generator, discriminator=discriminator)


def plain_cycle(generator: nn.Module, discriminator: nn.Module, images: Tensor) -> Callable[[], None]:
    """A cycle as one would write it by hand."""
    of_generator, of_discriminator = (torch.optim.Adam(n.parameters(), lr=2e-4, betas=(0.0, 0.9)) for n in (generator, discriminator))
    average = [parameter.detach().clone() for parameter in generator.parameters()]
    position = 0

    def update_discriminator() -> None:
        nonlocal position
        real = images[position : position + BATCH]
        position = (position + BATCH) % len(images)
        with torch.no_grad():
            fake = generator(torch.randn(BATCH, LATENT_DIM, device=images.device))
        loss = relu(1 - discriminator(real).logits).mean() + relu(1 + discriminator(fake).logits).mean()
        of_discriminator.zero_grad()
        loss.backward()
        of_discriminator.step()

    def update_generator() -> None:
        discriminator.requires_grad_(False)
        loss = -discriminator(generator(torch.randn(BATCH, LATENT_DIM, device=images.device))).logits.mean()
        of_generator.zero_grad()
        loss.backward()
        of_generator.step()
        discriminator.requires_grad_(True)

    def cycle() -> None:
        for _ in range(N_CRITIC):
            update_discriminator()
        update_generator()
        torch._foreach_lerp_(average, [parameter.detach() for parameter in generator.parameters()], 1e-3)

    return cycle


class TakesTurns(pl.Callback):
    """After each cycle of ours, one of the plain loop.

    Args:
        plain: a cycle of the plain loop.
        cycles: how many of each.
        device: which to wait for.
    """

    def __init__(self, plain: Callable[[], None], cycles: int, device: torch.device) -> None:
        self.plain, self.cycles, self.device = plain, cycles, device
        self.ours: list[float] = []
        self.theirs: list[float] = []
        self.start: float | None = None

    def now(self) -> float:
        """The time, when the device has done all it was told."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()

    def on_train_batch_end(self, trainer: pl.Trainer, model: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Time what lies between the ends of every fifth batch, and then a plain cycle."""
        if model.batches_seen % N_CRITIC:
            return
        end = self.now()
        if self.start is not None:
            self.ours.append(end - self.start)
        self.plain()
        self.start = self.now()
        self.theirs.append(self.start - end)
        trainer.should_stop = len(self.ours) >= self.cycles


def main() -> None:
    """Print the medians and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--widths", type=int, nargs=2, default=[256, 128], metavar=("G", "D"))
    parser.add_argument("--cycles", type=int, default=30)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--fast", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    device = torch.device(options.device)
    warnings.filterwarnings("ignore")
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    model, other = new_model(options.widths), new_model(options.widths).to(device).train()
    if options.fast:
        model.to(memory_format=torch.channels_last)
        model.compile_networks()
    images = torch.rand(4096, 3, 32, 32, device=device) * 2 - 1
    turns = TakesTurns(plain_cycle(other.generator, other.discriminator, images), options.cycles, device)
    switches = ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary")
    precision = "bf16-mixed" if options.fast else "32-true"
    callbacks = [EMA(half_life_images=10_000), turns]
    accelerator = "gpu" if device.type == "cuda" else "cpu"
    trainer = pl.Trainer(
        accelerator=accelerator, devices=1, precision=precision, max_epochs=-1, limit_val_batches=0, callbacks=callbacks,
        **dict.fromkeys(switches, False),
    )  # fmt: skip
    trainer.fit(model, datamodule=RandomImages(batch_size=BATCH))
    skip = min(3, len(turns.ours) // 3)  # the first ones warm up
    ours, theirs = statistics.median(turns.ours[skip:]), statistics.median(turns.theirs[skip + 1 :])
    print(f"Machine: {machine(device)}; widths {options.widths}, {len(turns.ours) - skip} cycles{', fast' if options.fast else ''}.\n")
    print("| ours, ms | plain loop, ms | ratio | generator updates/s |\n|---:|---:|---:|---:|")
    print(f"| {1e3 * ours:.1f} | {1e3 * theirs:.1f} | {ours / theirs:.3f} | {1 / ours:.2f} |")


if __name__ == "__main__":
    main()
