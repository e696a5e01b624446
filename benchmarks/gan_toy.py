"""Every adversarial loss on eight Gaussians on a circle: which modes it covers, and how many of its samples are near one.

Usage: python benchmarks/gan_toy.py [--images 500000] [--seeds 3] [--models NAME ...]

The same fully connected networks for all, Adam at 0.001 but for WGAN, one generator update per discriminator update but for WGAN and
WGAN-GP, whose papers have five. A mode is covered by at least a quarter of its share of 10,000 samples within 3 standard deviations of its
middle.
"""

from __future__ import annotations

import argparse
import logging
import math
import statistics
import time
import warnings
from typing import Any

import pytorch_lightning as pl
import torch
from noise_speed import machine
from torch import Tensor

from lightning_gen import models
from lightning_gen.callbacks.budget import Budget
from lightning_gen.callbacks.ema import EMA
from lightning_gen.data.toy_density import ToyDensity
from lightning_gen.models.base import GenerativeModel

NETWORKS: dict[str, Any] = {
    "generator": {"class_path": "MLPGenerator", "hidden": [128, 128]},
    "discriminator": {"class_path": "MLPDiscriminator", "hidden": [128, 128]},
}
SHARED = {"latent_dim": 16}
MODELS: dict[str, tuple[type[GenerativeModel], dict[str, Any]]] = {
    "minimax": (models.GAN, {"hidden": [128, 128], "objective": "minimax", "learning_rate": 1e-3}),
    "non-saturating": (models.GAN, {"hidden": [128, 128], "learning_rate": 1e-3}),
    "least squares": (models.LSGAN, {**NETWORKS, "learning_rate": 1e-3}),
    "hinge, spectral norm (SNGAN)": (models.SNGAN, {**NETWORKS, "n_critic": 1, "learning_rate": 1e-3}),
    "Wasserstein, clipped (WGAN)": (models.WGAN, {**NETWORKS, "learning_rate": 1e-3, "weight_clip": 0.1}),
    "Wasserstein, penalty (WGAN-GP)": (models.WGANGP, {**NETWORKS, "learning_rate": 1e-3, "penalty_weight": 1.0}),
    "DRAGAN": (models.DRAGAN, {**NETWORKS, "learning_rate": 1e-3}),
    "relativistic paired, R1 + R2": (models.RelativisticGAN, {**NETWORKS, "gamma": 0.1, "learning_rate": 1e-3}),
    "relativistic average, R1 + R2": (models.RelativisticGAN, {**NETWORKS, "objective": "average", "gamma": 0.1, "learning_rate": 1e-3}),
}


def covered(samples: Tensor) -> tuple[int, float]:
    """How many of the eight modes are covered, and the share of samples ``(N, 2)`` within 3 standard deviations of one."""
    angle = torch.arange(8) * (math.pi / 4)
    middles = 2 * torch.stack([angle.cos(), angle.sin()], 1)
    distance, nearest = torch.cdist(samples, middles).min(1)
    near = distance < 3 * 0.2
    counts = torch.bincount(nearest[near], minlength=8)
    return int((counts >= len(samples) / 32).sum()), float(near.float().mean())


def trained(name: str, seed: int, images: int) -> GenerativeModel:
    """A model after so many images."""
    cls, options = MODELS[name]
    torch.manual_seed(seed)
    model = cls([2], **SHARED, **options, decay_images=images)
    model.training_seed = seed
    switches = ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary")
    trainer = pl.Trainer(
        accelerator="cpu",
        devices=1,
        max_epochs=-1,
        limit_val_batches=0,
        callbacks=[Budget(images), EMA(half_life_images=10_000)],
        **dict.fromkeys(switches, False),
    )
    trainer.fit(model, datamodule=ToyDensity("eight_gaussians", batch_size=256, seed=seed))
    return model


def main() -> None:
    """Print one line per loss."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--images", type=int, default=500_000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--models", nargs="+", default=[*MODELS], choices=[*MODELS])
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    torch.set_num_threads(1)
    print(f"Machine: {machine(torch.device('cpu'))}; {options.images:,} images, {options.seeds} seeds.\n")
    print("| loss | modes of 8, each seed | within 3 deviations, mean | seconds |\n|---|---|---:|---:|")
    for name in options.models:
        start = time.monotonic()
        found = [covered(trained(name, seed, options.images).sample(10_000)) for seed in range(options.seeds)]
        modes, near = zip(*found, strict=True)
        seconds = (time.monotonic() - start) / options.seeds
        print(f"| {name} | {', '.join(map(str, modes))} | {statistics.mean(near):.3f} | {seconds:.0f} |", flush=True)


if __name__ == "__main__":
    main()
