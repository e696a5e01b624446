"""Bits/dim of flows beside normflows' after equal images: same architecture, batches, dequantization noise, optimiser and schedule.

Usage: python -m pip install -e '.[benchmarks]' && python benchmarks/flow_quality.py --root DATA [--images 24000] [--seeds 0 1]

MNIST at 8 bits, batches of 64, Adam at 0.001 with a warm-up and a cosine's decay to zero, the gradient of the nats per dimension clipped to
a norm of 1; both start from their own initialisation, on the same first batch. Bits/dim are averages over the first test images,
dequantized with the same numbers. The target is: no worse than normflows.
"""

from __future__ import annotations

import argparse
import math
import time

import torch
from flow_speed import WIDTH, OurLoss, TheirLoss, their_glow, their_real_nvp
from noise_speed import machine
from torch import nn

from lightning_gen import data, images, models
from lightning_gen.nn.data_dependent import initializing
from lightning_gen.noise import IndexedNoise

BATCH, RATE, WARM_UP = 64, 1e-3, 100
SHAPE = (1, 28, 28)


def pairs() -> dict[str, tuple[nn.Module, nn.Module]]:
    """Our loss and theirs, nats per image, by the name of the architecture."""
    real_nvp = models.RealNVP(list(SHAPE), num_scales=1, width=32, num_blocks=1, normalization="ActNorm")
    return {
        "Glow, L = 2, K = 8, width 64": (
            OurLoss(models.Glow(list(SHAPE), num_steps=8, width=WIDTH)),
            TheirLoss(their_glow(SHAPE, 2, 8, False), True),
        ),
        "RealNVP, 4 couplings, 1 block of 32": (OurLoss(real_nvp), TheirLoss(their_real_nvp(SHAPE, 4, 1, 32))),
    }


def floats(source: data.MNIST, split: str, start: int, count: int) -> torch.Tensor:
    """Dequantized images number start, start + 1, ... of a split, which begins anew at its end; noise by that number."""
    size = source.split_size(split)
    numbers = range(start, start + count)
    batch, _ = source.batch(split, [number % size for number in numbers])
    return images.dequantize(batch, IndexedNoise(0, numbers))


def train(loss: nn.Module, source: data.MNIST, num_images: int) -> float:
    """Process seconds of the training."""
    with initializing(loss):  # theirs initialises itself
        loss(floats(source, "train", 0, BATCH))
    optimizer = torch.optim.Adam(loss.parameters(), lr=RATE)
    steps = num_images // BATCH
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(1.0, (step + 1) / WARM_UP) * (1 + math.cos(math.pi * step / steps)) / 2
    )
    start = time.process_time()
    for step in range(steps):
        value = loss(floats(source, "train", step * BATCH, BATCH)) / math.prod(SHAPE)
        optimizer.zero_grad()
        value.backward()
        nn.utils.clip_grad_norm_(loss.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    return time.process_time() - start


@torch.no_grad()
def bits_per_dim(loss: nn.Module, source: data.MNIST, num_images: int) -> float:
    """The bound of uniform dequantization over test images."""
    loss.eval()
    nats = sum(float(loss(floats(source, "test", start, BATCH))) for start in range(0, num_images, BATCH)) / (num_images // BATCH)
    return nats / (math.prod(SHAPE) * math.log(2)) + 8


def main() -> None:
    """Print one line per architecture and seed, as a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--root", required=True, help="folder of MNIST")
    parser.add_argument("--images", type=int, default=24_000)
    parser.add_argument("--test_images", type=int, default=1_920, help="rounded down to whole batches (default: %(default)s)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    options = parser.parse_args()
    torch.set_num_threads(1)
    source = data.MNIST(root=options.root, batch_size=BATCH)
    source.setup()
    print(f"Machine: {machine(torch.device('cpu'))}; {options.images} training images, {options.test_images} test images.\n")
    print("| flow | seed | ours, bits/dim | normflows, bits/dim | ours, s | normflows, s |\n|---|---:|---:|---:|---:|---:|")
    for seed in options.seeds:
        torch.manual_seed(seed)
        for name, losses in pairs().items():
            seconds = [train(loss, source, options.images) for loss in losses]
            ours, theirs = (bits_per_dim(loss, source, options.test_images) for loss in losses)
            print(f"| {name} | {seed} | {ours:.3f} | {theirs:.3f} | {seconds[0]:.0f} | {seconds[1]:.0f} |", flush=True)


if __name__ == "__main__":
    main()
