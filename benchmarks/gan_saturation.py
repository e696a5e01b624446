"""Saturation of the first GAN: the gradient that the generator receives from either loss while the discriminator wins, at k updates of the
discriminator per update of the generator.

Usage: python benchmarks/gan_saturation.py [--updates 1000] [--ratios 1 5 20] [--seeds 3]

The model of configs/gans/gan_saturation.yaml on scikit-learn's digits, trained by either loss for equally many generator updates. In the
second half, every twentieth update, the gradients of both losses are taken at the same state and on the same 1024 draws of z; medians of
their norms are shown.
"""

from __future__ import annotations

import argparse
import logging
import statistics
import warnings
from typing import Any

import pytorch_lightning as pl
import torch
import yaml
from noise_speed import machine
from torch import Tensor, nn

from lightning_gen.callbacks.budget import Budget
from lightning_gen.configs import find_config
from lightning_gen.data.digits import Digits
from lightning_gen.models import GAN
from lightning_gen.models.gans.losses import cross_entropy_fake, cross_entropy_real

BATCH = 64


class BothGradients(pl.Callback):
    """Norms of the generator's gradient under either loss, and how often the discriminator sees through its images.

    Args:
        start: the batch after which to look,
        every: and how often.
    """

    def __init__(self, start: int, every: int) -> None:
        self.start, self.every = start, every
        self.seen: list[tuple[float, float, float]] = []

    def on_train_batch_end(self, trainer: pl.Trainer, model: GAN, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Look at the state between two batches."""
        if model.batches_seen < self.start or model.batches_seen % self.every:
            return
        z = torch.randn(1024, model.latent_dim, generator=torch.Generator().manual_seed(model.batches_seen))
        logits = model.discriminator(model.generator(z)).logits
        parameters = [*model.generator.parameters()]
        minimax = norm_of_gradient(-cross_entropy_fake(logits), parameters)
        self.seen.append((minimax, norm_of_gradient(cross_entropy_real(logits), parameters), float((logits < 0).float().mean())))


def norm_of_gradient(loss: Tensor, parameters: list[nn.Parameter]) -> float:
    """Of the loss by all parameters."""
    return float(nn.utils.get_total_norm(torch.autograd.grad(loss, parameters, retain_graph=True)))


def medians(objective: str, ratio: int, seed: int, updates: int) -> list[float]:
    """Medians over the second half of a training."""
    options = yaml.safe_load(find_config("gan_saturation").read_text())["model"]["init_args"]
    torch.manual_seed(seed)
    data = Digits(batch_size=BATCH)
    model = GAN([*data.data_shape], num_bits=data.num_bits, **options | {"objective": objective, "n_critic": ratio})
    model.training_seed = seed
    look = BothGradients(updates * ratio // 2, 20 * ratio)
    switches = ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary")
    trainer = pl.Trainer(
        accelerator="cpu",
        devices=1,
        max_epochs=-1,
        limit_val_batches=0,
        callbacks=[Budget(updates * ratio * BATCH), look],
        **dict.fromkeys(switches, False),
    )
    trainer.fit(model, datamodule=data)
    return [statistics.median(column) for column in zip(*look.seen, strict=True)]


def main() -> None:
    """Print one line per loss and ratio."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--updates", type=int, default=1000)
    parser.add_argument("--ratios", type=int, nargs="+", default=[1, 5, 20])
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    torch.set_num_threads(1)
    print(f"Machine: {machine(torch.device('cpu'))}; {options.updates} generator updates, {options.seeds} seeds.\n")
    print("| trained by | k | gradient of minimax | gradient of non-saturating | ratio | generated images seen through |")
    print("|---|---:|---:|---:|---:|---:|")
    for objective in ("minimax", "non_saturating"):
        for ratio in options.ratios:
            found = [medians(objective, ratio, seed, options.updates) for seed in range(options.seeds)]
            minimax, other, accuracy = (statistics.mean(column) for column in zip(*found, strict=True))
            print(f"| {objective} | {ratio} | {minimax:.2g} | {other:.2g} | {other / minimax:.2g} | {accuracy:.3f} |", flush=True)


if __name__ == "__main__":
    main()
