"""Samples of autoregressive models place by place, beside a whole forward pass at every place.

Usage: python benchmarks/sampling_speed.py [--device cuda] [--batches 1 8 64] [--passes 9] [--repeats 3] [--threads 1] [--models NAME ...]
       python benchmarks/sampling_speed.py --flips [--batches 8] [--models NAME ...]

New networks on 28x28 images, binary but for PixelCNN++; that of the paper's size, on 3x32x32, is run only where it is named. Ours is the
time of whole draws (network, draw of each pixel, and what is prepared before the first), the median of some. The naive time is
extrapolated: the median of some forward passes times the number of places; the draws of the pixels are not in it, which favours it.
Processor time on one CPU thread. The target is a ratio of at least 90 for the gated network of 32 features and 5 layers at batch 8.

--flips draws the same images by both samplers in float32 and counts those that differ: parameters that are equal but for the last bits can
move a place's probability across its uniform number, and with it all that follows.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from noise_speed import machine
from torch import Tensor

from lightning_gen import models
from lightning_gen.distributions.causal import CausalDistribution
from lightning_gen.models.autoregressive.autoregressive_model import AutoregressiveModel
from lightning_gen.nn.causal.base import CausalNetwork

SHAPE = [1, 28, 28]
BINARY = {"num_bits": 1, "output": "Bernoulli"}
MODELS: dict[str, Callable[[], AutoregressiveModel]] = {
    "FVSBN": lambda: models.FVSBN(SHAPE, **BINARY),
    "MADE, 500": lambda: models.MADE(SHAPE, **BINARY),
    "PixelCNN, h = 16, 7 blocks": lambda: models.PixelCNN(SHAPE, width=16, num_blocks=7, head_width=32, **BINARY),
    "GatedPixelCNN, 32 x 5, 5x5": lambda: models.GatedPixelCNN(SHAPE, width=32, num_layers=5, head_width=32, **BINARY),
    "GatedPixelCNN, 32 x 5, 3x3": lambda: models.GatedPixelCNN(SHAPE, width=32, num_layers=5, head_width=32, kernel_size=3, **BINARY),
    "PixelCNN++, 32, 2 blocks": lambda: models.PixelCNNPP(SHAPE, width=32, num_blocks=2, num_bits=8),
    "RowLSTM, 7 x 16": lambda: models.RowLSTM(SHAPE, **BINARY),
    "DiagonalBiLSTM, 7 x 16": lambda: models.DiagonalBiLSTM(SHAPE, **BINARY),
    "CoordinatePixelRNN, 128": lambda: models.CoordinatePixelRNN(SHAPE, hidden_size=128, **BINARY),
    "WaveNet, 48 x 7": lambda: models.WaveNet(SHAPE, dilations=[1, 2, 4, 8, 16, 32, 64], width=48, skip_width=48, **BINARY),
    "ImageTransformer, 48 x 3": lambda: models.ImageTransformer(SHAPE, width=48, num_blocks=3, **BINARY),
    "PixelCNN++ of the paper": lambda: models.PixelCNNPP([3, 32, 32], num_bits=8),
}
FOR_A_GPU = ["PixelCNN++ of the paper"]


def seconds(call: Callable[[], object], repeats: int, device: torch.device) -> float:
    """Median seconds; the first call warms up, where there are many."""
    clock = time.process_time if device.type == "cpu" and torch.get_num_threads() == 1 else time.perf_counter
    times = []
    for _ in range(repeats):
        start = clock()
        call()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(clock() - start)
    return statistics.median(times[1:] or times)


@torch.no_grad()
def compare(name: str, batch: int, passes: int, repeats: int, device: torch.device) -> str:
    """One line of the table."""
    torch.manual_seed(0)
    model = MODELS[name]().to(device).eval()
    distribution = model.distribution
    u = torch.rand(batch, *distribution.uniforms_shape, device=device)
    x = torch.rand(batch, *model.data_shape, device=device)
    one_pass = seconds(lambda: distribution.network(x), passes, device)
    ours = seconds(lambda: distribution.sample(u), repeats, device)
    naive = one_pass * distribution.network.places.count
    return f"| {name} | {batch} | {1e3 * one_pass:.2f} | {naive:.2f} | {ours:.3f} | {naive / ours:.0f} | {batch / ours:.1f} |"


class Naive(CausalNetwork):
    """A network that is stepped by a whole forward pass at each place.

    Args:
        network: whose parameters it gives.
    """

    def __init__(self, network: CausalNetwork) -> None:
        super().__init__(network.places)
        self.network = network

    @property
    def order(self) -> list[int]:
        return self.network.order

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        return self.network(x, context)


@torch.no_grad()
def flips(name: str, batch: int, device: torch.device) -> str:
    """One line of the second table: how many images of a batch differ, drawn by both samplers from the same numbers."""
    torch.manual_seed(0)
    model = MODELS[name]().to(device).eval()
    distribution = model.distribution
    u = torch.rand(batch, *distribution.uniforms_shape, device=device)
    ours, naive = (CausalDistribution(n, distribution.pixels).sample(u) for n in (distribution.network, Naive(distribution.network)))
    different = int((ours != naive).flatten(1).any(1).sum())
    return f"| {name} | {batch} | {batch * distribution.network.places.count:,} | {different} |"


def main() -> None:
    """Print one line per model and batch size, as a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8, 64])
    parser.add_argument("--passes", type=int, default=9)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--models", nargs="+", default=[name for name in MODELS if name not in FOR_A_GPU], choices=list(MODELS))
    parser.add_argument("--flips", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    device = torch.device(options.device)
    if options.flips:
        print("| model | images | places | images that differ |\n|---|---:|---:|---:|")
        for name in options.models:
            for batch in options.batches:
                print(flips(name, batch, device), flush=True)
        return
    print(f"Machine: {machine(device)}; medians of {options.passes} passes and {options.repeats} draws but for the first of each.\n")
    print("| model | batch | one pass, ms | naive, s | ours, s | ratio | images/s |\n|---|---:|---:|---:|---:|---:|---:|")
    for name in options.models:
        for batch in options.batches:
            print(compare(name, batch, options.passes, options.repeats, device), flush=True)


if __name__ == "__main__":
    main()
